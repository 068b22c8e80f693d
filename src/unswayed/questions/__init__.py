"""Questions, requests and safety facts that ship with the package."""
