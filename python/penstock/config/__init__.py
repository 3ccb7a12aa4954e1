"""The configuration: read, checked, compared, shown."""
