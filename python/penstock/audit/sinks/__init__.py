"""Sinks: what gets each record beside the store, from the journal, at its own pace."""
