//! The formats room from outside: tables of cases, and properties against slow oracles.

mod body_tap;
mod decompress;
mod drive;
mod errors;
mod json_noise;
mod multipart;
mod scan;
mod splice;
mod splitter;
mod tap;
mod tap_repairs;
