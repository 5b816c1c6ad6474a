"""The ``.bertc`` file: what it holds (``schema``), how it is written and read."""
