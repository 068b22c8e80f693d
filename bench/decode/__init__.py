"""The parts of `bench.sampler`: the workloads and the arms."""
