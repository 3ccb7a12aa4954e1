//! The one place that releases the GIL: around everything that may wait for another thread or the disk.

use pyo3::Python;

/// Runs `work` without the GIL. What it captures cannot be a Python object: those are not `Send`.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(work)
}
