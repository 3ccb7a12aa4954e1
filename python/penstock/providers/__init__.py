"""Who sells answers: the catalogue of known kinds and what a configured provider becomes with it."""
