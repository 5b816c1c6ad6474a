"""Tests of bertc.architectures."""
