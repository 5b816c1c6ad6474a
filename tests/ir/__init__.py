"""Tests of bertc.ir."""
