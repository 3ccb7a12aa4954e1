//! What a process records beside its checkpoint, by which the next one completes it.

use std::io;

use super::{Kind, Past, Scope, Span};

/// A place in the journal of one process: all that is recorded before it was settled before. The default is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub instance: String,
    pub segment: u64,
    /// Bytes from the segment's beginning.
    pub offset: u64,
}

/// The journal, as a checkpoint sees it.
pub trait Beyond {
    /// Where this process's journal stands; `None`: there is none.
    fn mark(&self) -> Option<Mark>;

    /// How long the oldest record that does not last yet has waited.
    fn lag_us(&self) -> u64;

    /// The other journals that are here, and whether the process of each is gone. `None`: nobody knows of journals.
    fn journals(&self) -> io::Result<Option<Vec<(String, bool)>>>;

    /// Shows what is recorded from a place on.
    fn read(&self, from: &Mark, seen: &mut dyn FnMut(&Past<'_>)) -> io::Result<()>;

    /// Shows the limits that a scope has now.
    fn limits(&self, of: Scope<'_>, seen: &mut dyn FnMut(Kind, Span));
}

/// No journal.
impl Beyond for () {
    fn mark(&self) -> Option<Mark> {
        None
    }

    fn journals(&self) -> io::Result<Option<Vec<(String, bool)>>> {
        Ok(None)
    }

    fn lag_us(&self) -> u64 {
        0
    }

    fn read(&self, _: &Mark, _: &mut dyn FnMut(&Past<'_>)) -> io::Result<()> {
        Ok(())
    }

    fn limits(&self, _: Scope<'_>, _: &mut dyn FnMut(Kind, Span)) {}
}
