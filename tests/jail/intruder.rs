//! A program that goes to the share server's jail and then tries to get out, one attempt a run.
//!
//! `intruder ATTEMPT LAYERS CANARY PORT`: its working folder holds `work`, which it may change, and
//! `read`, which it may read; the canary lies beside them. It ends with 0 where the attempt did what
//! it must not, and with 1 where it was refused.

use std::fs::File;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use runtime::jail::{Access, Calls, EVERYBODY, Folder, Keep, Layer, Limits, Namespaces, enter};
use runtime::share::CALLS;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open, test_kill_process};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// What an attempt has to work with.
struct Cell {
    work: OwnedFd,
    read: OwnedFd,
    canary: PathBuf,
    port: u16,
    parent: Pid,
}

type Attempt = fn(&Cell) -> io::Result<()>;

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("open", |cell| File::open(&cell.canary).map(drop)),
    ("up", |cell| open(cell.work.as_fd(), "../canary", OFlags::RDONLY)),
    ("up-from-what-is-read", |cell| open(cell.read.as_fd(), "../canary", OFlags::RDONLY)),
    ("up-from-descriptors", |cell| {
        let path = format!("/proc/self/fd/../../../../../..{}", cell.canary.display());
        open(CWD, &path, OFlags::RDONLY)
    }),
    ("list", list),
    ("write", |cell| open(cell.read.as_fd(), "file", OFlags::WRONLY)),
    ("make", |cell| open(cell.read.as_fd(), "new", OFlags::CREATE | OFlags::WRONLY)),
    ("device", |cell| {
        let mode = Mode::from_raw_mode(0o600);
        Ok(mknodat(&cell.work, "null", FileType::CharacterDevice, mode, rustix::fs::makedev(1, 3))?)
    }),
    ("run", |_| Command::new("/bin/true").status().map(drop)),
    ("run-inside", |cell| {
        let program = format!("/proc/self/fd/{}/program", cell.work.as_raw_fd());
        Command::new(program).status().map(drop)
    }),
    ("connect", |cell| TcpStream::connect(("127.0.0.1", cell.port)).map(drop)),
    ("connect-abstract", |cell| {
        let address = SocketAddr::from_abstract_name(format!("msb-intruder-{}", cell.port))?;
        UnixStream::connect_addr(&address).map(drop)
    }),
    ("signal", |cell| Ok(test_kill_process(cell.parent)?)),
    ("watch", |cell| Ok(pidfd_open(cell.parent, PidfdFlags::empty()).map(drop)?)),
    ("mount", |cell| {
        let target = format!("/proc/self/fd/{}", cell.work.as_raw_fd());
        mount("tmpfs", &target, "tmpfs", MountFlags::empty(), None)?;
        // Outside of a jail it would stay, and hold the folder that it hides.
        Ok(unmount(target, UnmountFlags::DETACH)?)
    }),
    ("capabilities", |_| {
        let all = CapabilitySet::CHOWN | CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
        let none = CapabilitySet::empty();
        Ok(set_capabilities(
            None,
            CapabilitySets { effective: all, permitted: all, inheritable: none },
        )?)
    }),
];

fn open(folder: BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<()> {
    openat(folder, path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))?;
    Ok(())
}

/// Looks for anything but what the jail has.
fn list(_: &Cell) -> io::Result<()> {
    let names: Vec<_> = std::fs::read_dir("/")?.collect::<Result<_, _>>()?;
    match names.iter().any(|entry| entry.file_name() != "proc") {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let said = match &arguments[..] {
        [attempt, layers, canary, port] => {
            let chosen = |layer: &Layer| layers.split(',').any(|name| name == layer.as_str());
            let layers: Vec<Layer> = Layer::ALL.into_iter().filter(chosen).collect();
            let place = (canary.into(), port.parse().unwrap_or(0));
            let known = ATTEMPTS.iter().find(|(name, _)| name == attempt);
            let unknown = || io::Error::other(format!("missing: no attempt is called {attempt}"));
            known.ok_or_else(unknown).and_then(|(_, attempt)| try_out(*attempt, &layers, place))
        }
        _ => Err(io::Error::other("missing: say ATTEMPT LAYERS CANARY PORT")),
    };
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn try_out(attempt: Attempt, layers: &[Layer], (canary, port): (PathBuf, u16)) -> io::Result<()> {
    let folder = |name: &str, access| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok::<_, io::Error>(Folder { fd: openat(CWD, name, flags, Mode::empty())?, access })
    };
    let folders = vec![folder("work", Access::Change)?, folder("read", Access::Read)?];
    let parent = getppid().ok_or(io::ErrorKind::NotFound)?;
    let keep = Keep {
        folders,
        files: Vec::new(),
        places: Vec::new(),
        files_of_others: true,
        limits: Limits::default(),
        calls: Calls::Only(&[EVERYBODY, CALLS]),
        namespaces: Namespaces::Itself,
    };
    let (folders, missing) = enter(keep, layers);
    for missing in missing {
        writeln!(io::stderr(), "missing: {missing}")?;
    }
    let [work, read] = <[OwnedFd; 2]>::try_from(folders).map_err(|_| io::ErrorKind::InvalidData)?;
    attempt(&Cell { work, read, canary, port, parent })
}
