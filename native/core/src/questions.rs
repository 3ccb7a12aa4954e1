//! Bounded ring and eventfd by which native asks Python.
