"""Graphs of other systems: rank N, padded, some 60 primitives. Doors fill one; it is raised to the IR."""
