//! `msb-runtime probe`: arguments in, verdicts out, one JSON line each.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use schema::launch::{Accelerator, DriverName};

use super::guest::{Budget, Parts, prove};
use super::race::{Proof, race};
use super::verdict::{Contender, Stage, Verdict};
use crate::clock::HostClock;

/// The exit code where no driver was proved.
const NO_DRIVER: u8 = 69;

/// The exit code of a wrong call.
const USAGE: u8 = 64;

const USAGE_TEXT: &str = "usage: msb-runtime probe auto|all|krun|qemu|qemu-kvm|qemu-tcg \
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
        Err(error) => vec![Verdict::failed(Contender::QEMU_TCG, Stage::Open, error.to_string())],
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
    let parts = Parts {
        qemu: find(asked.qemu.as_deref()),
        kernel: asked.kernel.clone(),
        initramfs: asked.initramfs.clone(),
    };
    let clock = HostClock;
    let run = |contender: Contender| {
        let parts = &parts;
        async move {
            match asked.absent(contender, parts) {
                Some(absent) => absent,
                None => prove(contender, parts, Budget::of(contender.accelerator), &clock).await,
            }
        }
    };
    let mut verdicts = Vec::new();
    match asked.which {
        Which::Race(contenders) => {
            let proofs = contenders.iter().map(|one| (*one, Box::pin(run(*one)) as Proof<'_>));
            verdicts = race(proofs, &clock).await;
        }
        Which::Each(contenders) => {
            for contender in contenders {
                verdicts.push(run(*contender).await);
            }
        }
    }
    verdicts
}

impl Asked {
    /// Tells why a driver need not be tried at all.
    fn absent(&self, contender: Contender, parts: &Parts) -> Option<Verdict> {
        if contender.driver == DriverName::Qemu && parts.qemu.is_none() {
            let looked_for = self.qemu.as_deref().unwrap_or(Path::new(QEMU)).display();
            let reason = format!("{looked_for} is not installed");
            let verdict = Verdict::failed(contender, Stage::Open, reason);
            return Some(verdict.hint("Install QEMU 7.2 or newer (Debian: qemu-system-x86)."));
        }
        (contender.accelerator == Accelerator::Kvm).then(|| kvm_device(contender).err()).flatten()
    }
}

/// Tells why KVM need not be tried at all.
fn kvm_device(contender: Contender) -> Result<(), Verdict> {
    let Err(error) = OpenOptions::new().read(true).write(true).open(KVM) else {
        return Ok(());
    };
    let verdict = Verdict::failed(contender, Stage::Open, format!("cannot open {KVM}: {error}"));
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

/// Which drivers are tried, the one that is liked best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Side by side, until the best is known.
    Race(&'static [Contender]),
    /// One after the other, each to its own end.
    Each(&'static [Contender]),
}

impl Which {
    fn of(word: &str) -> Option<Self> {
        const QEMU: &[Contender] = &[Contender::QEMU_KVM, Contender::QEMU_TCG];
        const ALL: &[Contender] = &[Contender::KRUN, Contender::QEMU_KVM, Contender::QEMU_TCG];
        Some(match word {
            "auto" => Self::Race(ALL),
            "qemu" => Self::Race(QEMU),
            "all" => Self::Each(ALL),
            "krun" => Self::Each(&[Contender::KRUN]),
            "qemu-kvm" => Self::Each(&[Contender::QEMU_KVM]),
            "qemu-tcg" => Self::Each(&[Contender::QEMU_TCG]),
            _ => return None,
        })
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
        let which = Which::of(arguments.next()?.to_str()?)?;
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
        assert_eq!(asked.which, Which::Each(&[Contender::QEMU_KVM]));
        assert_eq!(asked.qemu, Some("/q".into()));
        for wrong in ["", "process", "auto", "auto --kernel /k", "auto --kernel /k --initramfs"] {
            assert!(parse(wrong).is_none(), "{wrong:?} was taken");
        }
    }
}
