//! What configuration has by name, as requests look for it.

/// Quick, and keyed by chance. For names that configuration and administrators give: what clients make up is looked for
/// among them and not found. It is no wall against who fills a table on purpose.
pub type Hash = foldhash::fast::RandomState;

/// A table of what has a name.
pub type Named<T> = hashbrown::HashMap<String, T, Hash>;
