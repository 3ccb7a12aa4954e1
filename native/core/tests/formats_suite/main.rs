//! The formats room from outside: tables of cases, and properties against slow oracles.

mod agree;
mod body_tap;
mod decompress;
mod drive;
mod errors;
mod json_noise;
mod multipart;
mod scan;
mod scan_oracle;
mod speed;
mod splice;
mod splitter;
mod tap;
mod tap_oracle;
mod tap_repairs;
