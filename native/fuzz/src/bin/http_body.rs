//! Fuzzes bodies of every framing; without a fuzzer it replays the files and directories it is given.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| penstock_fuzz::http::http_body(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    penstock_fuzz::replay::main(penstock_fuzz::http::http_body)
}
