"""Scoring rules: from the text of a reply to a score, or unscored with a reason."""
