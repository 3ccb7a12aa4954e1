//! What Python compiled for native, decoded and made ready for use.
