"""Reads what other gateways are configured with and writes it as Penstock's."""
