//! `msb-runtime probe`: arguments in, verdicts out, one JSON line each.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use schema::launch::Accelerator;

use super::guest::{Budget, Parts, prove};
use super::race::race;
use super::verdict::{Stage, Verdict};
use crate::clock::HostClock;

/// The exit code where no driver was proved.
const NO_DRIVER: u8 = 69;

/// The exit code of a wrong call.
const USAGE: u8 = 64;

const USAGE_TEXT: &str = "usage: msb-runtime probe qemu-tcg|qemu-kvm|auto \
                          --kernel FILE --initramfs FILE [--qemu FILE]";

/// The program that is looked for where none is named.
const QEMU: &str = "qemu-system-x86_64";

const KVM: &str = "/dev/kvm";

/// Proves what `arguments` name and prints the verdicts; 0 where one is good, 69 where none is.
///
/// Must run on the main thread: the guest dies with the thread that started it.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(asked) = Asked::parse(arguments) else {
        writeln!(io::stderr(), "{USAGE_TEXT}").ok();
        return ExitCode::from(USAGE);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let verdicts = match runtime {
        Ok(runtime) => runtime.block_on(judge(&asked)),
        Err(error) => vec![Verdict::failed(Accelerator::Tcg, Stage::Open, error.to_string())],
    };
    match print(&verdicts) {
        Ok(()) if verdicts.iter().any(|verdict| verdict.ok) => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(NO_DRIVER),
        // Nobody reads the verdict, so nobody acts on it.
        Err(_) => ExitCode::FAILURE,
    }
}

fn print(verdicts: &[Verdict]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for verdict in verdicts {
        serde_json::to_writer(&mut out, verdict)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

async fn judge(asked: &Asked) -> Vec<Verdict> {
    let Some(program) = find(asked.qemu.as_deref()) else {
        let missing = |accelerator| {
            let looked_for = asked.qemu.as_deref().unwrap_or(Path::new(QEMU)).display();
            Verdict::failed(accelerator, Stage::Open, format!("{looked_for} is not installed"))
                .hint("Install QEMU 7.2 or newer (Debian: qemu-system-x86).")
        };
        return asked.which.accelerators().iter().copied().map(missing).collect();
    };
    let parts = Parts { program, kernel: asked.kernel.clone(), initramfs: asked.initramfs.clone() };
    let clock = HostClock;
    let alone =
        async |accelerator| prove(accelerator, &parts, Budget::of(accelerator), &clock).await;
    match asked.which {
        Which::Tcg => vec![alone(Accelerator::Tcg).await],
        Which::Kvm => vec![match kvm_device() {
            Ok(()) => alone(Accelerator::Kvm).await,
            Err(absent) => absent,
        }],
        Which::Auto => match kvm_device() {
            Ok(()) => race(&parts, &clock).await,
            Err(absent) => vec![absent, alone(Accelerator::Tcg).await],
        },
    }
}

/// Tells why KVM need not be tried at all.
fn kvm_device() -> Result<(), Verdict> {
    let Err(error) = OpenOptions::new().read(true).write(true).open(KVM) else {
        return Ok(());
    };
    let verdict =
        Verdict::failed(Accelerator::Kvm, Stage::Open, format!("cannot open {KVM}: {error}"));
    Err(match error.kind() {
        io::ErrorKind::PermissionDenied => {
            verdict.hint("Join the group that owns /dev/kvm and log in again.")
        }
        _ => verdict.hint("Enable virtualisation on this host, or use the emulator."),
    })
}

/// Returns the program as an absolute path.
fn find(named: Option<&Path>) -> Option<PathBuf> {
    let named = named.unwrap_or(Path::new(QEMU));
    if named.components().count() > 1 {
        return std::path::absolute(named).ok().filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(named)).find(|path| path.is_file())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Tcg,
    Kvm,
    Auto,
}

impl Which {
    const fn accelerators(self) -> &'static [Accelerator] {
        match self {
            Self::Tcg => &[Accelerator::Tcg],
            Self::Kvm => &[Accelerator::Kvm],
            Self::Auto => &[Accelerator::Kvm, Accelerator::Tcg],
        }
    }
}

#[derive(Debug)]
struct Asked {
    which: Which,
    kernel: PathBuf,
    initramfs: PathBuf,
    qemu: Option<PathBuf>,
}

impl Asked {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let which = match arguments.next()?.to_str()? {
            "qemu-tcg" => Which::Tcg,
            "qemu-kvm" => Which::Kvm,
            "auto" => Which::Auto,
            _ => return None,
        };
        let (mut kernel, mut initramfs, mut qemu) = (None, None, None);
        while let Some(option) = arguments.next() {
            let value = Some(PathBuf::from(arguments.next()?));
            match option.to_str()? {
                "--kernel" => kernel = value,
                "--initramfs" => initramfs = value,
                "--qemu" => qemu = value,
                _ => return None,
            }
        }
        Some(Self { which, kernel: kernel?, initramfs: initramfs?, qemu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Option<Asked> {
        Asked::parse(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_call_names_a_driver_and_what_the_guest_is_made_of() {
        let asked = parse("qemu-kvm --kernel /k --initramfs /i --qemu /q").unwrap();
        assert_eq!((asked.which, asked.qemu), (Which::Kvm, Some("/q".into())));
        for wrong in ["", "krun", "auto", "auto --kernel /k", "auto --kernel /k --initramfs"] {
            assert!(parse(wrong).is_none(), "{wrong:?} was taken");
        }
    }
}
