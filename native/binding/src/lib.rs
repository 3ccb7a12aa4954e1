//! `penstock._native`: the one module by which Python reaches the data plane.

mod bridge;
mod content;
mod convert;
mod detach;
mod engine;
mod error;
mod journal;
mod rows;
mod tokens;

#[cfg(not(pyo3_disable_reference_pool))]
compile_error!("build with RUSTFLAGS='--cfg pyo3_disable_reference_pool', as .cargo/config.toml does");

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::{
        content::check_pattern,
        convert::error_codes,
        engine::Engine,
        journal::{JournalReader, forget_private, verify_journals},
        rows::Rows,
        tokens::{Encoding, measure},
    };

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name for it
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __profile__: Option<&str> = option_env!("PENSTOCK_PROFILE");
}
