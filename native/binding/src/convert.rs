//! Values on their way between Python and the core.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use penstock_core::{
    error::Code,
    server::{Options, Role},
};
use pyo3::pyfunction;

use crate::error::{Error, Result};

/// Every error code that Penstock makes, with its status.
#[pyfunction]
pub(crate) fn error_codes() -> Vec<(&'static str, u16)> {
    Code::ALL.iter().map(|code| (code.name(), code.status())).collect()
}

/// Options of an engine, from JSON.
pub(crate) fn options(json: &[u8]) -> Result<Options> {
    serde_json::from_slice(json).map_err(|e| Error::Refused(format!("options: {e}")))
}

/// Listeners that are the engine's own: Python may close its descriptors afterwards.
pub(crate) fn listeners(listeners: Vec<(RawFd, String)>) -> Result<Vec<(OwnedFd, Role)>> {
    listeners.into_iter().map(|(fd, role)| Ok((duplicate(fd)?, self::role(&role)?))).collect()
}

fn role(name: &str) -> Result<Role> {
    penstock_core::server::role(name)
        .ok_or_else(|| Error::Refused(format!("listener role {name:?}: it is \"data\" or \"admin\"")))
}

fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::Refused(format!("{fd} is not a file descriptor")));
    }
    // SAFETY: not -1, and borrowed for one system call only, which answers EBADF should it not be open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(borrowed.try_clone_to_owned()?)
}
