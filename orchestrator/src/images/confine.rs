//! What the builder gives up before it reads a byte that somebody else wrote.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};

use super::layers::IMAGE_BYTES_MAX;

/// All of the address space, threads and decompressors included.
const ADDRESS_BYTES: u64 = 512 << 20;
/// What may be written to. An image of the most entries uses 230 MiB; what is
/// reserved and not touched counts here too.
const DATA_BYTES: u64 = 320 << 20;
/// Descriptors: layers, spools, the output and a few more.
const FILES: u64 = 512;
/// Seconds of processor that any image may take.
const CPU_SECONDS: u64 = 60;
/// One more second for each of so many stored bytes.
const BYTES_PER_CPU_SECOND: u64 = 1 << 20;

/// Limits this process for good: memory, processor, file sizes, new privileges.
///
/// `stored_bytes` is the size of the layers it will read.
pub(crate) fn confine(stored_bytes: u64) -> io::Result<()> {
    let seconds = CPU_SECONDS + stored_bytes / BYTES_PER_CPU_SECOND;
    // The image's metadata comes on top of its files.
    let file_bytes = IMAGE_BYTES_MAX + (8 << 30);
    let limits = [
        (Resource::As, ADDRESS_BYTES),
        (Resource::Data, DATA_BYTES),
        (Resource::Cpu, seconds),
        (Resource::Fsize, file_bytes),
        (Resource::Nofile, FILES),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}
