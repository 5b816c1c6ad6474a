"""Certificates, evaluations and comparisons as pages of HTML, with plots, that need nothing but a browser."""
