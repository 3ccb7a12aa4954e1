//! The journals of a `data_dir` for Python: read from a position on, verify. Docstrings are in `_native.pyi`.

use std::{path::PathBuf, sync::Arc};

use penstock_core::{
    journal::{self, Forgotten, Found, Position, Reader, disk::RealDisk, verify},
    observe::rows::{self, Wanted},
    spare,
};
use pyo3::{Bound, Python, pyclass, pyfunction, pymethods, types::PyBytes};

use crate::{
    detach::detached,
    error::{Error, Result},
    rows::Rows,
};

/// Kind, sequence, segment, offset, public and private part.
type Entry<'py> = (u8, u64, u64, u64, Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct JournalReader {
    reader: Reader,
    /// The directory's name.
    instance: String,
}

#[pymethods]
impl JournalReader {
    #[new]
    #[pyo3(signature = (directory, *, past_cache=false))]
    fn new(directory: String, past_cache: bool) -> Self {
        let directory = PathBuf::from(directory);
        let instance = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let disk = if past_cache { RealDisk::direct() } else { RealDisk::default() };
        Self { reader: Reader::new(Arc::new(disk), &directory), instance }
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        segment: u64,
        offset: u64,
        most_bytes: usize,
        live: bool,
    ) -> Result<(Vec<Entry<'py>>, u64, u64, bool)> {
        let from = Position { segment, offset };
        let batch = detached(py, || self.reader.read(from, most_bytes, live))?;
        let entries = batch.entries.into_iter().map(|found| entry(py, &found)).collect();
        Ok((entries, batch.next.segment, batch.next.offset, batch.is_end))
    }

    #[pyo3(signature = (place, most_bytes, live, days, begun, *, spare=false))]
    #[expect(clippy::too_many_arguments, reason = "what Python names one by one")]
    fn rows(
        &self,
        py: Python<'_>,
        place: (u64, u64, u64),
        most_bytes: usize,
        live: bool,
        days: (i32, i32),
        begun: &[u8],
        spare: bool,
    ) -> Result<Rows> {
        let (segment, offset, after) = place;
        let wanted = Wanted {
            instance: &self.instance,
            from: Position { segment, offset },
            after,
            most_bytes,
            is_live: live,
            first_day: days.0,
            last_day: days.1,
            begun,
        };
        let read = || rows::rows(&self.reader, &wanted);
        Ok(Rows(detached(py, || if spare { spare::run(read)? } else { read() })?))
    }
}

fn entry<'py>(py: Python<'py>, found: &Found) -> Entry<'py> {
    let Position { segment, offset } = found.position;
    let private = found.private.as_deref().map(|bytes| PyBytes::new(py, bytes));
    (found.kind, found.sequence, segment, offset, PyBytes::new(py, &found.public), private)
}

#[pyfunction]
pub(crate) fn forget_private(py: Python<'_>, directory: String, before_us: u64, live: bool) -> Result<(u64, u64, u64)> {
    let directory = PathBuf::from(directory);
    let Forgotten { private_parts, damaged_bytes, left } =
        detached(py, move || journal::forget_before(&RealDisk::default(), &directory, before_us, live))?;
    Ok((private_parts, damaged_bytes, left))
}

#[pyfunction]
pub(crate) fn verify_journals<'py>(
    py: Python<'py>,
    directory: String,
    heads: &[u8],
    live: Vec<String>,
) -> Result<Bound<'py, PyBytes>> {
    let heads: Vec<verify::Head> = serde_json::from_slice(heads).map_err(|e| Error::Refused(format!("heads: {e}")))?;
    let directory = PathBuf::from(directory);
    let is_live = move |instance: &str| live.iter().any(|name| name == instance);
    let reports = detached(py, || verify::verify(&RealDisk::default(), &directory, &heads, is_live))?;
    let json = serde_json::to_vec(&reports).map_err(|e| Error::Refused(e.to_string()))?;
    Ok(PyBytes::new(py, &json))
}
