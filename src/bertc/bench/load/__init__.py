"""Load on a compiled file: instances, queues and rates over a grid of shapes, as ``bertc load-test`` runs."""
