"""Tests of bertc.quantize."""
