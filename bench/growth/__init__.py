"""The parts of `bench.scaling`: the points, one step at a point, fits, and the drawing."""
