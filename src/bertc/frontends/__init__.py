"""Front ends: what reads a model from outside and gives a graph."""
