"""What the server answers, a file per kind of route; ``table.py`` is the list."""
