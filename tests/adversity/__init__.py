"""Faults, hostile input, slow peers and departures: nothing hangs, nothing leaks, nothing is silently lost."""
