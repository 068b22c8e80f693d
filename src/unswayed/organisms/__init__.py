"""Model organisms: models with a known fault, made on purpose, measured before they count, and shared."""
