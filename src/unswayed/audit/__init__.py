"""What changed between two models, and what will: verdicts that a reviewer can recompute."""
