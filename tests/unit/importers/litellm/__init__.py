"""From LiteLLM."""
