"""What a person writes in TOML, as typed models that refuse unknown keys."""
