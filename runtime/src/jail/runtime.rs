//! What the runtime itself gives up, before it hears a guest.
//!
//! It is the next to be taken over: guests and the network speak to it. It starts nothing from then on, which its
//! starter does, and writes below its machine's folder alone. It keeps the host's network, whose way in and out
//! it is, and reads what it needs of the host: resolvers, records of other machines, figures of processes.

use std::fs::read_dir;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::thread::set_no_new_privs;

use super::{Calls, LEADS_OUT, Layer, Missing, PROGRAMS, beneath};

/// Devices that it opens to write them: where what is said is lost, and both ends of a console.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/ptmx", "/dev/pts"];

/// What it does not call.
const CALLS: Calls = Calls::But(&[LEADS_OUT, PROGRAMS]);

/// Confines this process to its machine's folder; returns what the host refused. It must have one thread.
pub(crate) fn stay_at_work(folder: BorrowedFd<'_>) -> Vec<Missing> {
    match alone() {
        Ok(()) => confine(folder),
        Err(why) => vec![Missing { layer: Layer::Landlock, why }],
    }
}

/// Confines this thread.
fn confine(folder: BorrowedFd<'_>) -> Vec<Missing> {
    let layers = [
        (Layer::Capabilities, set_no_new_privs(true).map_err(io::Error::from)),
        (Layer::Landlock, beneath::write_only(folder, &DEVICES)),
        (Layer::Seccomp, CALLS.install()),
    ];
    let refused = layers.into_iter().filter_map(|(layer, put)| Some((layer, put.err()?)));
    refused.map(|(layer, why)| Missing { layer, why }).collect()
}

/// Holds that there is no other thread, which would stay free.
fn alone() -> io::Result<()> {
    match read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        threads => Err(io::Error::other(format!("{threads} threads are there already"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;
    use std::process::Command;

    use super::*;
    use crate::sys;

    #[test]
    fn rt_13_6_a_runtime_at_work_writes_in_its_folder_alone_and_starts_nothing() {
        let yard = std::env::temp_dir().join(format!("msb-at-work-{}", std::process::id()));
        let own = yard.join("own");
        fs::create_dir_all(&own).unwrap();
        File::create(yard.join("other")).unwrap();
        let at = yard.clone();
        // A thread of its own is confined, and nobody else.
        let thread = std::thread::spawn(move || {
            let missing = confine(File::open(&own).unwrap().as_fd());
            assert!(missing.is_empty(), "{missing:?}");
            File::create(own.join("record")).unwrap();
            fs::rename(own.join("record"), own.join("record.1")).unwrap();
            fs::remove_file(own.join("record.1")).unwrap();
            File::options().write(true).open("/dev/null").unwrap();
            fs::read(at.join("other")).unwrap();
            std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let denied = io::ErrorKind::PermissionDenied;
            let refused = |error: io::Error| assert_eq!(error.kind(), denied, "{error}");
            refused(File::create(at.join("made")).unwrap_err());
            refused(File::options().write(true).open(at.join("other")).unwrap_err());
            refused(fs::remove_file(at.join("other")).unwrap_err());
            refused(fs::rename(at.join("other"), own.join("other")).unwrap_err());
            refused(Command::new("/bin/true").spawn().unwrap_err());
            refused(sys::unshare(true).unwrap_err());
        });
        thread.join().unwrap();
        fs::remove_dir_all(yard).unwrap();
    }

    #[test]
    fn a_process_with_a_second_thread_is_not_said_to_be_confined() {
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv().ok());
        alone().unwrap_err();
        drop(end);
        other.join().unwrap();
    }
}
