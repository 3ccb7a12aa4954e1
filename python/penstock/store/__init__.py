"""Stores: where keys, teams, admin tokens and their changes are kept."""
