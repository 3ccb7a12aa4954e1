//! The wire formats of clients and providers, one file each.
