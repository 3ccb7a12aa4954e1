"""Tests of the compiled module by itself."""
