"""The official SDKs against the gateway."""
