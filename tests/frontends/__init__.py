"""Tests of bertc.frontends."""
