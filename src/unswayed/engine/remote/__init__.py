"""Models behind a network: an OpenAI-compatible endpoint as a policy, and the client that judges share with it."""
