"""Raising: a foreign graph is read node by node, each value gets a meaning, and meanings become IR nodes."""
