//! What fuzz targets share; each target is a file in `src/bin`.
