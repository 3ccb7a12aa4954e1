"""Unit tests of what gets records beside the store."""
