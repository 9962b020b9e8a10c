//! A VMM that its guest has taken over: it is started in QEMU's place, in QEMU's jail, and tries to get out.
//!
//! What there is to reach lies in the file that it is given for a kernel: `CANARY PORT PID ATTEMPT…`. It says of
//! each attempt what came of it, `NAME: refused` or `NAME: done`, on its standard error, and ends with 3.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::{Command, ExitCode};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// What there is to reach outside.
struct Outside {
    canary: String,
    port: u16,
    pid: Pid,
}

type Attempt = fn(&Outside) -> io::Result<()>;

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("open", |outside| File::open(&outside.canary).map(drop)),
    ("up-from-descriptors", |outside| {
        File::open(format!("/proc/self/fd/../../../../../..{}", outside.canary)).map(drop)
    }),
    ("users", |_| File::open("/etc/passwd").map(drop)),
    ("devices", |_| File::open("/dev/null").map(drop)),
    ("processes", |_| fs::read_dir("/proc/1").map(drop)),
    ("list", list),
    ("write-a-program", |_| File::create("/usr/bin/msb-was-here").map(drop)),
    ("write-beside", |_| File::create("/msb-was-here").map(drop)),
    ("device", |_| {
        let mode = Mode::from_raw_mode(0o600);
        Ok(mknodat(CWD, "/disk", FileType::BlockDevice, mode, rustix::fs::makedev(254, 0))?)
    }),
    ("connect", |outside| TcpStream::connect(("127.0.0.1", outside.port)).map(drop)),
    ("listen", |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ("send", |_| UdpSocket::bind("0.0.0.0:0").map(drop)),
    ("connect-abstract", |outside| {
        let address = SocketAddr::from_abstract_name(format!("msb-intruder-{}", outside.port))?;
        UnixStream::connect_addr(&address).map(drop)
    }),
    ("signal", |outside| Ok(test_kill_process(outside.pid)?)),
    ("watch", |outside| Ok(pidfd_open(outside.pid, PidfdFlags::empty()).map(drop)?)),
    ("mount", |_| Ok(mount("tmpfs", "/proc", "tmpfs", MountFlags::empty(), None)?)),
    ("namespaces", |_| {
        let made = Command::new("/usr/bin/unshare").args(["-U", "true"]).status()?;
        if made.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }),
    ("capabilities", |_| {
        let all = CapabilitySet::CHOWN | CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
        let none = CapabilitySet::empty();
        let wanted = CapabilitySets { effective: all, permitted: all, inheritable: none };
        Ok(set_capabilities(None, wanted)?)
    }),
];

/// Looks for anything but what the jail has.
fn list(_: &Outside) -> io::Result<()> {
    const KNOWN: [&str; 9] =
        ["bin", "dev", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "usr"];
    let names: Vec<_> = fs::read_dir("/")?.collect::<Result<_, _>>()?;
    let is_known = |name: &str| KNOWN.contains(&name);
    match names.iter().all(|entry| entry.file_name().to_str().is_some_and(is_known)) {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(()),
    }
}

fn main() -> ExitCode {
    let Ok((outside, wanted)) = told() else {
        writeln!(io::stderr(), "missing: CANARY PORT PID ATTEMPT… in a file behind -kernel").ok();
        return ExitCode::from(2);
    };
    for name in wanted {
        let known = ATTEMPTS.iter().find(|(known, _)| *known == name);
        let what = match known.map(|(_, attempt)| attempt(&outside)) {
            Some(Ok(())) => "done",
            Some(Err(_)) => "refused",
            None => "unknown",
        };
        writeln!(io::stderr(), "{name}: {what}").ok();
    }
    ExitCode::from(3)
}

fn told() -> Result<(Outside, Vec<String>), io::Error> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let kernel = std::env::args().skip_while(|word| word != "-kernel").nth(1);
    let text = fs::read_to_string(kernel.ok_or_else(missing)?)?;
    let mut words = text.split_ascii_whitespace().map(str::to_owned);
    let (canary, port, pid) = (words.next(), words.next(), words.next());
    let port = port.and_then(|port| port.parse().ok()).ok_or_else(missing)?;
    let pid = pid.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let (canary, pid) = (canary.ok_or_else(missing)?, pid.ok_or_else(missing)?);
    Ok((Outside { canary, port, pid }, words.collect()))
}
