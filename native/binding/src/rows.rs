//! Rows of the records' table for Python: as bytes, or as tuples, a piece at a time. Docstrings are in `_native.pyi`.

use penstock_core::observe::{
    row_form::{Cell, read},
    rows,
};
use pyo3::{
    Bound, IntoPyObject, PyAny, PyErr, PyResult, Python, pyclass, pymethods,
    types::{PyBytes, PyString, PyTuple},
};

#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Rows(pub(crate) rows::Rows);

#[pymethods]
impl Rows {
    fn piece<'py>(&self, py: Python<'py>, at: usize, most_bytes: usize) -> Bound<'py, PyBytes> {
        let rest = self.0.data.get(at..).unwrap_or_default();
        PyBytes::new(py, &rest[..most_bytes.min(rest.len())])
    }

    fn tuples<'py>(&self, py: Python<'py>, at: usize, most: usize) -> PyResult<(Vec<Bound<'py, PyTuple>>, usize)> {
        let (mut rest, mut found) = (self.0.data.get(at..).unwrap_or_default(), Vec::new());
        while found.len() < most
            && let Some((cells, after)) = read(rest)
        {
            rest = after;
            found.push(PyTuple::new(py, cells.into_iter().map(Value))?);
        }
        Ok((found, self.0.data.len() - rest.len()))
    }

    fn interrupted(&self) -> Vec<u64> {
        rows::read_begun(&self.0.begun).into_values().collect()
    }

    #[getter]
    fn size(&self) -> usize {
        self.0.data.len()
    }

    #[getter]
    fn count(&self) -> u64 {
        self.0.count
    }

    #[getter]
    fn records(&self) -> u64 {
        self.0.records
    }

    #[getter]
    fn segment(&self) -> u64 {
        self.0.next.segment
    }

    #[getter]
    fn offset(&self) -> u64 {
        self.0.next.offset
    }

    #[getter]
    fn at_end(&self) -> bool {
        self.0.is_end
    }

    #[getter]
    fn ended(&self) -> bool {
        self.0.has_ended
    }

    #[getter]
    fn sequence(&self) -> u64 {
        self.0.sequence
    }

    #[getter]
    fn hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.hash)
    }

    #[getter]
    fn day(&self) -> i32 {
        self.0.day
    }

    #[getter]
    fn days(&self) -> Vec<i32> {
        self.0.days.clone()
    }

    #[getter]
    fn oldest_us(&self) -> u64 {
        self.0.oldest_us
    }

    #[getter]
    fn begun<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.begun)
    }
}

struct Value<'a>(Cell<'a>);

impl<'py> IntoPyObject<'py> for Value<'_> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        Ok(match self.0 {
            Cell::Null => py.None().into_bound(py),
            Cell::Number(number) => number.into_pyobject(py)?.into_any(),
            Cell::Text(text) => PyString::new(py, text).into_any(),
            Cell::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        })
    }
}
