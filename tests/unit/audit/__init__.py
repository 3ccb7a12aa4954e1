"""The audit trail, without native."""
