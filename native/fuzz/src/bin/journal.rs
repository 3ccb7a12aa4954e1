//! Fuzzes the recovery of the journal; without a fuzzer it replays the files and directories it is given.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| penstock_fuzz::journal::journal(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    penstock_fuzz::replay::main(penstock_fuzz::journal::journal)
}
