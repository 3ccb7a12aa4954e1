"""Measures Penstock beside nginx on this machine: `python -m bench.run`, and in short `python -m bench.smoke`."""
