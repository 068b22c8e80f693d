"""The parts of `bench.loss`: the work, the ways to do it, and what comes out."""
