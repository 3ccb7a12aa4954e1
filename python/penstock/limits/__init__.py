"""Limits: what they mean; later, leases of those that nodes share."""
