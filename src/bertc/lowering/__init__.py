"""Lowering: a typed graph becomes packed tensors and a linear program over planned buffers."""
