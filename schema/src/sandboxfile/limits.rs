//! What a set of files may cost to read; raised only by the user's own configuration.

/// The limits of one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Bytes of all files.
    pub total_bytes: usize,
    /// Files of a project.
    pub files: usize,
    /// Bytes made by interpolation in all.
    pub expanded_bytes: usize,
    /// Instances of a project.
    pub instances: usize,
    /// Problems that are reported one by one.
    pub problems: usize,
    /// Seconds for everything up to the rules.
    pub seconds: u64,
}

impl Limits {
    /// Levels of nesting.
    pub const DEPTH: usize = 64;
    /// Bytes of one value.
    pub const SCALAR_BYTES: usize = 256 << 10;
    /// Bytes of one key.
    pub const KEY_BYTES: usize = 255;
    /// Nodes that YAML aliases make in all.
    pub const ALIAS_NODES: usize = 10_000;

    /// Returns what it may cost to read `text` again, which was taken once under whatever limits.
    #[must_use]
    pub fn again(text: &str) -> Self {
        let limits = Self::default();
        // A node takes a byte at least.
        Self { file_bytes: limits.file_bytes.max(text.len().saturating_mul(8)), ..limits }
    }

    /// Returns how many nodes the tree of one file may have.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.file_bytes / 8
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 1 << 20,
            total_bytes: 8 << 20,
            files: 64,
            expanded_bytes: 4 << 20,
            instances: 1000,
            problems: 100,
            seconds: 5,
        }
    }
}
