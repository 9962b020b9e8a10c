//! What the builder gives up before it reads a byte that somebody else wrote.

mod calls;

use std::io;

use image::layers::IMAGE_BYTES_MAX;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetError, Scope,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};

/// All of the address space, threads and decompressors included.
const ADDRESS_BYTES: u64 = 512 << 20;
/// What may be written to. An image of the most entries uses 200 MiB; what is
/// reserved and not touched counts here too.
const DATA_BYTES: u64 = 320 << 20;
/// Descriptors: layers, spools, the output and a few more.
const FILES: u64 = 512;
/// Seconds of processor that any image may take.
const CPU_SECONDS: u64 = 60;
/// One more second for each of so many stored bytes.
const BYTES_PER_CPU_SECOND: u64 = 1 << 20;
/// The rights that Landlock is asked for; what a kernel does not know of them is left out.
const NEWEST: ABI = ABI::V6;

/// Limits this process for good: memory, processor, file sizes, new privileges; then every path,
/// port and call that it has no use for.
///
/// `stored_bytes` is the size of the layers it will read. The process must have one thread. A host
/// without Landlock goes on without it, which `msb doctor` tells; the list of calls holds no call
/// that takes a path or makes a socket in any case.
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
    reach_nothing().map_err(io::Error::other)?;
    calls::keep_to_list()
}

/// Forbids every file that is not open yet, every port, and signals to others.
fn reach_nothing() -> Result<(), RulesetError> {
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    rules.create()?.restrict_self().map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Read as _, Seek as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::thread;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn tm_e_a_builder_that_is_taken_over_reaches_nothing_but_its_descriptors() {
        let yard = Scratch::new();
        let at = yard.path().to_owned();
        File::create(at.join("other")).unwrap().write_all(b"kept").unwrap();
        let mut own =
            File::options().read(true).write(true).create_new(true).open(at.join("own")).unwrap();
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Of the calls and Landlock a thread can be confined alone, and nobody else is.
        let confined = thread::spawn(move || {
            reach_nothing().unwrap();
            calls::keep_to_list().unwrap();
            own.write_all(b"whole").unwrap();
            own.rewind().unwrap();
            let mut text = String::new();
            own.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), own.metadata().unwrap().len()), ("whole", 5));
            thread::scope(|scope| scope.spawn(|| theirs.write_all(b"built")).join().unwrap())
                .unwrap();
            let refused = |error: io::Error| {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            };
            refused(File::open(at.join("other")).unwrap_err());
            refused(File::create(at.join("made")).unwrap_err());
            refused(fs::remove_file(at.join("other")).unwrap_err());
            refused(fs::rename(at.join("own"), at.join("other")).unwrap_err());
            refused(fs::metadata(at.join("other")).unwrap_err());
            refused(TcpStream::connect(port).unwrap_err());
            refused(TcpListener::bind("127.0.0.1:0").unwrap_err());
            refused(UnixStream::connect(at.join("socket")).unwrap_err());
            refused(Command::new("/bin/true").spawn().unwrap_err());
        });
        confined.join().unwrap();
        let mut answer = [0; 5];
        ours.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"built");
        assert_eq!(fs::read_to_string(yard.path().join("other")).unwrap(), "kept");
    }

    #[test]
    fn a_thread_of_a_confined_one_is_confined_too() {
        let confined = thread::spawn(|| {
            reach_nothing().unwrap();
            calls::keep_to_list().unwrap();
            thread::spawn(|| File::open("/proc/self/status").unwrap_err().kind()).join().unwrap()
        });
        assert_eq!(confined.join().unwrap(), io::ErrorKind::PermissionDenied);
    }
}
