//! Projects a person might want, one folder each; the suite runs them all.
