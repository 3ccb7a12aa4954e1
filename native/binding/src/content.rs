//! Patterns of what is redacted, for Python.

use pyo3::{Python, pyfunction};

use crate::detach::detached;

#[pyfunction]
pub(crate) fn check_pattern(py: Python<'_>, pattern: &str) -> Option<String> {
    detached(py, || penstock_core::content::check_pattern(pattern))
}
