//! The shapes that cross a boundary between msb's programs.
