"""Two or more evaluations side by side: differences, verdicts, cautions."""
