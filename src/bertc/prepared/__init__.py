"""Inputs of models as files of arrays, made of raw data as other tool-chains make them, and run."""
