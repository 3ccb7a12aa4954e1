"""Tests of the demo provider, which needs no compiled library."""
