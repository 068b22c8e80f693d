"""Public data sets by name: where they live, their licences, and how they are fetched."""
