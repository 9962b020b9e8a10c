//! The process, from its orders to its end.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use thiserror::Error;

use super::orders::{Job, Orders, Program};
use crate::hypervisor::krun;
use crate::jail::{self, Calls, Keep, Layer, Limits, Namespaces, Place, Use};
use crate::{chain, sys};

/// The longest orders.
const ORDERS_BYTES_MAX: u64 = 64 << 10;

/// The exit code where no machine was begun.
const NO_MACHINE: u8 = 70;

/// What a VMM may take of the host.
const LIMITS: Limits = Limits { files: Some(1024), file_bytes: None, address_bytes: None };

/// What a program may call: QEMU makes other calls with each release and each build of a distribution, so what leads out
/// of a jail is refused. QEMU's own list comes on top.
const OF_PROGRAM: Calls = Calls::But(&[jail::LEADS_OUT, jail::NETWORK]);

const KVM: &str = "/dev/kvm";

/// Where programs of a distribution lie, and what they load.
const USR: &str = "/usr";

/// Why no machine was begun.
#[derive(Debug, Error)]
enum VmmError {
    #[error("the orders on descriptor {0}")]
    Orders(String, #[source] io::Error),
    #[error("descriptor {0} of the orders")]
    Descriptor(RawFd, #[source] io::Error),
    #[error("cannot tell that it is in its jail")]
    Report(#[source] io::Error),
    #[error("cannot run {}", .0.display())]
    Program(PathBuf, #[source] io::Error),
    #[error("cannot begin the machine")]
    Krun(#[source] krun::BeginError),
}

/// Becomes the machine that the orders on the descriptor that `word` names speak of.
///
/// `missing` says why this process has no namespaces of its own, where it has none. Returns where there is no
/// machine; else the process ends as the machine does.
pub fn run(word: &str, missing: &str) -> ExitCode {
    // It was started by the name of a descriptor, which tells nobody what it is.
    rustix::thread::set_name(c"msb-vmm").ok();
    end_whole();
    let error = match orders(word).and_then(|orders| Ok((go(&orders, missing)?, orders))) {
        Ok((report, Orders { job: Job::Krun(orders), .. })) => {
            drop(report);
            VmmError::Krun(krun::begin(&orders))
        }
        // Who hears the end of the report meets the program.
        Ok((_report, Orders { job: Job::Program(program), .. })) => run_program(&program),
        Ok((_, Orders { job: Job::Nothing, .. })) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    writeln!(io::stderr(), "msb-runtime: {}", chain(&error)).ok();
    ExitCode::from(NO_MACHINE)
}

/// Lets no thread end alone: a machine that lacks one would live on, and do half of what it should.
fn end_whole() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        std::process::abort();
    }));
}

/// Goes to jail, and says what that lacks; returns the report, which ends at the latest with another program.
fn go(orders: &Orders, missing: &str) -> Result<File, VmmError> {
    let report = sys::inherited(orders.report)
        .map_err(|error| VmmError::Descriptor(orders.report, error))?;
    let mut report = File::from(report);
    let mut places = Vec::new();
    if let Job::Program(program) = &orders.job {
        places.extend(of_program(&program.path));
    }
    if orders.on_kvm {
        places.push(Place { path: KVM.into(), of: Use::Device });
    }
    let keep = Keep {
        folders: Vec::new(),
        files: orders.files.clone(),
        places,
        files_of_others: false,
        limits: Limits { file_bytes: orders.file_bytes, ..LIMITS },
        calls: match orders.job {
            Job::Krun(_) => Calls::Only(&[jail::EVERYBODY, krun::CALLS]),
            Job::Program(_) | Job::Nothing => OF_PROGRAM,
        },
        namespaces: Namespaces::told(missing),
    };
    let (_, missing) = jail::enter(keep, &Layer::ALL);
    jail::tell(&mut report, &missing).map_err(VmmError::Report)?;
    Ok(report)
}

/// Returns what a program needs under its name: what distributions install, and its own folder where it lies
/// elsewhere.
fn of_program(path: &Path) -> Vec<Place> {
    let usr = Place { path: USR.into(), of: Use::Programs };
    let is_short = ["/bin/", "/sbin/"].iter().any(|short| path.starts_with(short));
    if path.starts_with(USR) || is_short {
        return vec![usr];
    }
    let own = path.parent().map(|folder| Place { path: folder.into(), of: Use::Programs });
    [Some(usr), own].into_iter().flatten().collect()
}

/// Puts a program in the place of this process; returns only where that failed.
fn run_program(program: &Program) -> VmmError {
    let failed = |error| VmmError::Program(program.path.clone(), error);
    let words = [&program.name].into_iter().chain(&program.args);
    let words: Result<Vec<CString>, _> = words.map(|word| CString::new(word.as_str())).collect();
    match (words, CString::new(program.path.as_os_str().as_bytes())) {
        (Ok(words), Ok(path)) => failed(sys::become_path(&path, &words)),
        (Err(error), _) | (_, Err(error)) => failed(error.into()),
    }
}

fn orders(word: &str) -> Result<Orders, VmmError> {
    let failed = |error| VmmError::Orders(word.to_owned(), error);
    let number = word.parse().map_err(|error| failed(io::Error::other(error)))?;
    let mut file = File::from(sys::inherited(number).map_err(failed)?);
    debug_assert_ne!(file.as_raw_fd(), 0, "the standard three are no orders");
    file.rewind().map_err(failed)?;
    let mut text = Vec::new();
    file.take(ORDERS_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| failed(error.into()))
}
