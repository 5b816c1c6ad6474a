"""How fast a file is on this machine: kernels on fixed shapes, whole calls on text, start-up."""
