//! `Engine` for Python: borrow, detach, call, convert. Its docstrings are in `_native.pyi`.

use std::{
    os::fd::{AsRawFd, RawFd},
    process,
    time::Duration,
};

use penstock_core::server;
use pyo3::{Bound, Python, pyclass, pymethods, types::PyBytes};

use crate::{
    bridge::{self, Asked},
    convert,
    detach::detached,
    error::{Error, Result},
};

/// How long dropping an engine that nobody stopped may take.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Engine {
    /// `None` only while it is dropped.
    core: Option<server::Engine>,
    pid: u32,
}

impl Engine {
    fn core(&self) -> Result<&server::Engine> {
        self.core.as_ref().filter(|_| self.pid == process::id()).ok_or(Error::Forked)
    }
}

#[pymethods]
impl Engine {
    #[new]
    fn new(options: &[u8]) -> Result<Self> {
        Ok(Self { core: Some(server::Engine::new(convert::options(options)?)?), pid: process::id() })
    }

    #[getter]
    fn question_fd(&self) -> Result<RawFd> {
        Ok(self.core()?.question_fd().as_raw_fd())
    }

    fn start(&self, py: Python<'_>, snapshot: &[u8], listeners: Vec<(RawFd, String)>) -> Result<()> {
        let (core, listeners) = (self.core()?, convert::listeners(listeners)?);
        Ok(detached(py, || core.start(snapshot, listeners))?)
    }

    fn apply(&self, py: Python<'_>, snapshot: &[u8]) -> Result<()> {
        let core = self.core()?;
        Ok(detached(py, || core.apply(snapshot))?)
    }

    fn put_keys(&self, py: Python<'_>, batch: &[u8]) -> Result<()> {
        let core = self.core()?;
        Ok(detached(py, || core.put_keys(batch))?)
    }

    fn digest(&self, credential: &str) -> Result<String> {
        Ok(self.core()?.digest(credential))
    }

    fn keys_current(&self, current: bool) -> Result<()> {
        self.core()?.keys_current(current);
        Ok(())
    }

    fn used_keys<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        let core = self.core()?;
        Ok(PyBytes::new(py, &detached(py, || core.used_keys())))
    }

    fn limits_use<'py>(&self, py: Python<'py>, scope: &str, name: &str) -> Result<Bound<'py, PyBytes>> {
        let core = self.core()?;
        Ok(PyBytes::new(py, &detached(py, || core.limits_use(scope, name))?))
    }

    fn limits_reset(&self, scope: &str, name: &str) -> Result<bool> {
        Ok(self.core()?.limits_reset(scope, name)?)
    }

    fn limits_earlier(&self, py: Python<'_>, used: &[u8]) -> Result<()> {
        let core = self.core()?;
        Ok(detached(py, || core.limits_earlier(used))?)
    }

    fn limits_kept(&self) -> Result<Option<bool>> {
        Ok(self.core()?.limits_kept())
    }

    fn shared_state(&self, away: bool, nodes: u32) -> Result<()> {
        self.core()?.shared_state(away, nodes);
        Ok(())
    }

    #[allow(clippy::needless_pass_by_value, reason = "a list of Python's is owned here")]
    fn shared_pressed(&self, tags: Vec<String>) -> Result<()> {
        self.core()?.shared_pressed(&tags);
        Ok(())
    }

    #[allow(clippy::needless_pass_by_value, reason = "a list of Python's is owned here")]
    fn journal_shipped(&self, py: Python<'_>, segments: Vec<(String, u64)>) -> Result<()> {
        let core = self.core()?;
        detached(py, || core.journal_shipped(&segments));
        Ok(())
    }

    fn shipping(&self, records: u64, failures: u64, oldest_us: u64) -> Result<()> {
        self.core()?.shipping(records, failures, oldest_us);
        Ok(())
    }

    fn questions<'py>(&self, py: Python<'py>) -> Result<Vec<Asked<'py>>> {
        Ok(bridge::to_python(py, self.core()?.questions()))
    }

    fn answer(&self, id: u64, payload: &[u8]) -> Result<()> {
        self.core()?.answer(id, payload.to_vec());
        Ok(())
    }

    fn status<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.core()?.status().as_bytes()))
    }

    fn degraded(&self, reasons: Vec<String>) -> Result<()> {
        self.core()?.degraded(reasons);
        Ok(())
    }

    fn sinks(&self, facts: &[u8]) -> Result<()> {
        Ok(self.core()?.sinks(facts)?)
    }

    fn drain(&self) -> Result<()> {
        self.core()?.drain();
        Ok(())
    }

    fn close_listeners(&self) -> Result<()> {
        self.core()?.close_listeners();
        Ok(())
    }

    fn idle(&self) -> Result<bool> {
        Ok(self.core()?.is_idle())
    }

    fn stop(&self, py: Python<'_>, timeout_ms: u64) -> Result<bool> {
        let core = self.core()?;
        Ok(detached(py, || core.stop(Duration::from_millis(timeout_ms))))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(core) = self.core.take() else { return };
        if self.pid != process::id() {
            // Its threads exist in the parent only: there is nobody to stop and nobody to wait for.
            std::mem::forget(core);
            return;
        }
        Python::try_attach(|py| detached(py, || core.stop(DROP_TIMEOUT)));
    }
}
