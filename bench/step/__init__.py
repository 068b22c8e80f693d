"""The parts of `bench.opct_step`: the work, the arms, and what is made of their answers."""
