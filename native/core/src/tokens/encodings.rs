//! The encodings of a process: each mapped on first use, and known from then on to be there or not.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{Encoding, TableError};

/// Encodings in one directory.
#[derive(Debug)]
pub struct Encodings {
    directory: PathBuf,
    opened: [OnceLock<Option<Encoding>>; Encoding::NAMES.len()],
}

impl Encodings {
    /// Those whose tables stand in `directory`; nothing is read yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, opened: Default::default() }
    }

    /// Whether the encoding was asked for before, so that [`Self::get`] answers at once.
    pub fn is_settled(&self, name: &str) -> bool {
        self.place(name).is_none_or(|place| place.get().is_some())
    }

    /// An encoding of [`Encoding::NAMES`]. The first call reads its file, about a millisecond, and tells `report` if that
    /// cannot be used; then there is none until the process starts anew.
    pub fn get(&self, name: &str, report: impl FnOnce(&Path, &TableError)) -> Option<&Encoding> {
        let open = || Encoding::open(&self.directory, name).inspect_err(|error| report(&self.directory, error)).ok();
        self.place(name)?.get_or_init(open).as_ref()
    }

    fn place(&self, name: &str) -> Option<&OnceLock<Option<Encoding>>> {
        Encoding::NAMES.iter().zip(&self.opened).find(|(known, _)| **known == name).map(|(_, place)| place)
    }
}
