"""From inputs to answers, one file per task. ``registry.py`` lists them."""
