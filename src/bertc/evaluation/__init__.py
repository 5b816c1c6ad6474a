"""Scores on labeled data, by one evaluator for every engine."""
