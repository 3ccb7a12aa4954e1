//! From the name a client asks for to the ordered list of targets.
