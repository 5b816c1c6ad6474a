"""Quantization: schemes, the formulas, and the pass that gives a graph its dtypes."""
