"""Penstock, an LLM gateway: Python decides, native moves."""

__version__ = "0.1.0"
