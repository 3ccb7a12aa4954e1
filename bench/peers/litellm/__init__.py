"""LiteLLM, for the one row that compares with it."""
