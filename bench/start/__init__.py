"""The parts of `bench.startup`: the pairs, one start in a process of its own, and the drawing."""
