//! Cases of the YAML reader.
