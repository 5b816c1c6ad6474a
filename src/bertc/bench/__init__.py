"""The bench: how fast a file is on this machine, on fixed shapes, on text, and from its start."""
