//! Questions as Python sees them: `(id, kind, payload)`.

use penstock_core::questions::Question;
use pyo3::{Bound, Python, types::PyBytes};

pub(crate) type Asked<'py> = (u64, u8, Bound<'py, PyBytes>);

pub(crate) fn to_python(py: Python<'_>, questions: Vec<Question>) -> Vec<Asked<'_>> {
    let one = |asked: Question| (asked.id, asked.kind as u8, PyBytes::new(py, &asked.payload));
    questions.into_iter().map(one).collect()
}
