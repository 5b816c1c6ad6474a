"""The tests, laid out as src/bertc is."""
