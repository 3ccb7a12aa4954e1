"""Unit tests of the benchmark's Python half."""
