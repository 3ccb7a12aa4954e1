"""Tests of the product as a whole; unit tests of one room sit in `unit/`."""
