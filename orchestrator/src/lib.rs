//! Makes a host match a Sandboxfile.
