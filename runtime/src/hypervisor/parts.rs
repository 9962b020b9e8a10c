//! What drivers ask of a machine before it is made, and make for it in the same way.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use schema::launch::{Accelerator, Shape};

use super::DriverError;
use crate::starter::Bounds;

/// A mebibyte.
pub(super) const MIB: u64 = 1024 * 1024;

/// A gibibyte.
pub(super) const GIB: u64 = 1024 * MIB;

/// The longest serial that fits a virtio disk.
pub(super) const SERIAL_BYTES_MAX: usize = 20;

/// Root image and private writable disk, which no limit counts.
const DISKS_ALWAYS: usize = 2;

/// The most that a machine of a driver has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) cpus: u32,
    pub(super) memory_bytes: u64,
    /// Beyond root image and private writable disk.
    pub(super) disks: usize,
}

impl Most {
    /// Refuses a machine that has more, of so many disks in all.
    pub(super) fn check(&self, shape: &Shape, disks: usize) -> Result<(), DriverError> {
        if shape.cpus_max > self.cpus {
            return Err(DriverError::Shape { field: "cpus", max: self.cpus.into() });
        }
        if shape.memory_max_bytes > self.memory_bytes {
            return Err(DriverError::Shape { field: "memory", max: self.memory_bytes });
        }
        let beyond = disks.saturating_sub(DISKS_ALWAYS);
        if beyond > self.disks {
            return Err(DriverError::TooManyDisks { have: beyond, max: self.disks });
        }
        Ok(())
    }
}

/// What a VMM takes on KVM beside its guest's memory; a part of that comes on top, for tables of pages.
const OVERHEAD_BYTES: u64 = 128 * MIB;

/// What the emulator takes beside that, translated code above all.
const EMULATOR_BYTES: u64 = 384 * MIB;

/// The threads of a VMM beside its processors.
const THREADS_MAX: u64 = 256;

/// Returns what the process of a machine may take of its host.
pub(super) fn bounds(name: String, shape: &Shape, accelerator: Accelerator) -> Bounds {
    let emulator = if accelerator == Accelerator::Tcg { EMULATOR_BYTES } else { 0 };
    let memory = shape.memory_max_bytes;
    Bounds {
        name,
        memory_bytes: memory.saturating_add(memory / 128 + OVERHEAD_BYTES + emulator),
        tasks: THREADS_MAX + u64::from(shape.cpus_max),
    }
}

/// Returns a file that every machine is made of.
pub(super) fn given(file: Option<OwnedFd>, what: &str) -> Result<OwnedFd, DriverError> {
    file.ok_or_else(|| DriverError::Unsupported { what: format!("a machine without {what}") })
}

/// Returns both ends of a stream.
pub(super) fn pair(what: &str) -> Result<(UnixStream, UnixStream), DriverError> {
    UnixStream::pair().map_err(prepared(what))
}

/// Makes an error of a step that prepares something.
pub(super) fn prepared(what: &str) -> impl FnOnce(io::Error) -> DriverError {
    let what = what.to_owned();
    move |source| DriverError::Prepare { what, source }
}

#[cfg(test)]
pub(super) fn shape(cpus: u32, memory_gib: u64) -> Shape {
    let memory = memory_gib * GIB;
    Shape { cpus, cpus_max: cpus, memory_bytes: memory, memory_max_bytes: memory }
}
