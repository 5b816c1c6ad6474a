"""A compiled file's certificate as one page of HTML, with plots, that needs nothing but a browser."""
