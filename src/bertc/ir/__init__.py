"""The graph IR: what a model is between a front end and a target."""
