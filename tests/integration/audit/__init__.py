"""Records on their way to the store."""
