//! Tokens for Python: counting without the GIL. The docstrings are in `_native.pyi`.

use std::path::PathBuf;

use penstock_core::tokens::{self, TableError};
use pyo3::{Python, pyclass, pyfunction, pymethods};

use crate::{
    detach::detached,
    error::{Error, Result},
};

#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Encoding(tokens::Encoding);

#[pymethods]
impl Encoding {
    #[new]
    fn new(py: Python<'_>, directory: PathBuf, name: &str) -> Result<Self> {
        detached(py, move || {
            tokens::Encoding::open(&directory, name).map(Self).map_err(|error| match error {
                TableError::Io(cause) => Error::System(cause),
                other => Error::Refused(format!("{name} in {}: {other}", directory.display())),
            })
        })
    }

    fn count(&self, py: Python<'_>, text: &[u8]) -> u64 {
        detached(py, || tokens::count(&self.0, text))
    }

    fn count_chat(&self, py: Python<'_>, model: &str, body: &[u8]) -> Result<u64> {
        detached(py, || tokens::count_chat(&self.0, model, body)).map_err(|error| Error::Refused(error.to_string()))
    }
}

#[pyfunction]
pub(crate) fn measure(model: &str) -> (&'static str, u32, bool) {
    let measure = tokens::Measure::of(model);
    (measure.encoding, measure.per_mille, measure.is_exact)
}
