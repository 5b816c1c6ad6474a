"""The formulas of scores on NumPy, over many resamples of the samples at once. No model and no file here.

``weights`` [resamples, samples] say how often each sample counts: all ones for a score, random for intervals.
"""
