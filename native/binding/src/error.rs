//! Every way in which a call from Python fails, and the one conversion to Python's exceptions.

use std::{fmt, io};

use pyo3::{
    PyErr,
    exceptions::{PyOSError, PyRuntimeError, PyValueError},
};

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// What was passed in is not acceptable, and this is why: `ValueError`.
    Refused(String),
    /// The system said no: `OSError` with its number.
    System(io::Error),
    /// The process is a fork of the one that made the engine; threads do not survive that: `RuntimeError`.
    Forked,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => f.write_str(reason),
            Self::System(error) => error.fmt(f),
            Self::Forked => f.write_str("this engine belongs to the parent process: make a new one after a fork"),
        }
    }
}

impl From<String> for Error {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(reason) => PyValueError::new_err(reason),
            Error::System(cause) => match cause.raw_os_error() {
                Some(number) => PyOSError::new_err((number, cause.to_string())),
                None => PyOSError::new_err(cause.to_string()),
            },
            Error::Forked => PyRuntimeError::new_err(error.to_string()),
        }
    }
}
