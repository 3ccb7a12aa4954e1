"""The audit trail: what a record holds, and how the journals of a `data_dir` are read."""
