"""Answers checked by published rules, in a process of their own: hostile text can neither hang nor crash a run."""
