"""Writers of other systems' files: the graph leaves for hardware that bertc has no kernels for."""
