"""The parts of `bench.loss`: the work and the arms."""
