"""The training loop and what surrounds it: steps, checkpoints, run folders, several processes."""
