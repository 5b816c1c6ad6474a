"""Front ends, which read a model from outside and make a graph of it."""
