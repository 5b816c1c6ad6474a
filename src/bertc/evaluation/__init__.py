"""Scores on labelled data, by one evaluator for every engine."""
