"""The parts of `bench.sampler`."""
