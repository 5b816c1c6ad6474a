"""Tests of bertc.passes."""
