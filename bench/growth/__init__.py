"""The parts of `bench.scaling`: what grows, and one step at one point."""
