//! The phases of a request, one file each, in the order of the README diagram.

pub mod multipart;
pub mod scan;
pub mod splice;
