"""Tables of hostile input."""
