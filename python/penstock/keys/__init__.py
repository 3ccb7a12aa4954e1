"""Keys and teams: who may ask, and what for."""
