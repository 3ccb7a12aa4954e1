"""Limits that nodes share, against a real Redis."""
