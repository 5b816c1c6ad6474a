"""Quantization: schemes, methods, and the pass that gives a graph its dtypes."""
