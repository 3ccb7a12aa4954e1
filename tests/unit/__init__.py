"""Unit tests: a fake engine, no compiled library."""
