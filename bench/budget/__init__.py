"""The parts of `bench.methods`: the arms and their budget, the questions, the runs, and what they add up to."""
