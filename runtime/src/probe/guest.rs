//! One empty guest, from its start to the agent's first word.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use schema::launch::{self, Accelerator, Shape};
use schema::wire::{Decoder, Message, PREAMBLE};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::verdict::{Contender, Stage, Verdict};
use crate::clock::Clock;
use crate::hypervisor::{self, Built, Console, DriverError, Links, Machine, Notice, VmmEnd};
use crate::starter::Starter;

const MEMORY_BYTES: u64 = 128 * 1024 * 1024;

/// How much of the guest's console is kept for the reason.
const CONSOLE_BYTES_MAX: usize = 16 * 1024;

/// How long a killed guest is waited for.
const REAP_MAX: Duration = Duration::from_secs(2);

/// What a guest is made of.
#[derive(Debug)]
pub(super) struct Parts {
    /// QEMU, where it is installed.
    pub(super) qemu: Option<PathBuf>,
    /// The guest kernel.
    pub(super) kernel: PathBuf,
    /// The initramfs with agentd.
    pub(super) initramfs: PathBuf,
}

/// What a proof may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// How long it may take.
    pub(super) wall: Duration,
    /// How much processor time it may use, in seconds.
    pub(super) cpu_s: u64,
}

impl Budget {
    /// Returns what the proof of an accelerator may cost.
    pub(super) const fn of(accelerator: Accelerator) -> Self {
        match accelerator {
            // A KVM that burns time is ended by what it burns, one that sleeps by the clock; a host that
            // is busy, or a guest itself, is not to be taken for either.
            Accelerator::Kvm => Self { wall: Duration::from_secs(15), cpu_s: 10 },
            Accelerator::Tcg | Accelerator::None => {
                Self { wall: Duration::from_secs(60), cpu_s: 60 }
            }
        }
    }
}

/// Boots a guest and returns what became of it; nothing of it is left.
pub(super) async fn prove(
    contender: Contender,
    parts: &Parts,
    budget: Budget,
    clock: &impl Clock,
) -> Verdict {
    let built = match build(parts) {
        Ok(built) => built,
        Err((path, error)) => {
            let reason = format!("cannot open {}: {error}", path.display());
            return Verdict::failed(contender, Stage::Open, reason);
        }
    };
    let started = clock.now();
    let begun = Starter::begin().and_then(|starter| {
        let driver = hypervisor::open(&parts.driver(contender))?;
        Ok((driver.start(built, &starter)?, starter))
    });
    // The machine ends with who made it.
    let (mut machine, _starter) = match begun {
        Ok(begun) => begun,
        Err(error) => return start_failed(contender, &error),
    };
    limit_cpu(&machine, budget.cpu_s);
    let mut heard = Heard::default();
    let outcome = timeout(budget.wall, listen(&mut machine, &mut heard, clock)).await;
    machine.process.kill();
    // Reaped here, so that a verdict means that nothing of its guest is left.
    timeout(REAP_MAX, machine.process.ended()).await.ok();
    // What the guest said last may have waited behind the end of its agent.
    heard.keep_rest(&machine.links.console);
    let verdict = match outcome {
        Ok(Ok(())) => {
            let since = |at: Option<Instant>| at.map_or(0, |at| millis(at - started));
            return Verdict::proved(contender, since(heard.first_byte), since(heard.hello));
        }
        Ok(Err(why)) => heard.failed(contender, &why),
        Err(_) => {
            let seconds = budget.wall.as_secs();
            heard.failed(contender, &format!("no word of the agent within {seconds} s"))
        }
    };
    verdict.hint(contender.hint())
}

impl Parts {
    /// Returns a driver as a launch record names it.
    fn driver(&self, Contender { driver: name, accelerator }: Contender) -> launch::Driver {
        let program = self.qemu.as_ref().map(|program| program.display().to_string());
        launch::Driver { name, accelerator, program: program.unwrap_or_default() }
    }
}

fn build(parts: &Parts) -> Result<Built, (PathBuf, io::Error)> {
    let open = |path: &PathBuf| File::open(path).map_err(|error| (path.clone(), error));
    Ok(Built {
        name: format!("proof-{}", std::process::id()),
        shape: Shape {
            cpus: 1,
            cpus_max: 1,
            memory_bytes: MEMORY_BYTES,
            memory_max_bytes: MEMORY_BYTES,
        },
        kernel: Some(open(&parts.kernel)?.into()),
        initramfs: Some(open(&parts.initramfs)?.into()),
        disks: Vec::new(),
        network: None,
        boot_debug: false,
        // No machine, no lease: the device stands where the lease would be inherited.
        lease: open(&PathBuf::from("/dev/null"))?.into(),
        scratch: None,
    })
}

fn start_failed(contender: Contender, error: &DriverError) -> Verdict {
    let report = error.report();
    let mut reason = report.message;
    for cause in report.causes {
        reason.push_str(": ");
        reason.push_str(&cause);
    }
    let verdict = Verdict::failed(contender, Stage::Start, reason);
    match report.hints.into_iter().next() {
        Some(hint) => verdict.hint(hint),
        None => verdict.hint(contender.hint()),
    }
}

/// Bounds what a VMM that spins may burn; the deadline alone would let it use every core.
fn limit_cpu(machine: &Machine, seconds: u64) {
    let pid = i32::try_from(machine.process.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(seconds), maximum: Some(seconds) };
    // It may have ended already, which the pidfd will tell.
    prlimit(pid, Resource::Cpu, limit).ok();
}

/// What was heard of a guest.
#[derive(Default)]
struct Heard {
    first_byte: Option<Instant>,
    hello: Option<Instant>,
    console: Vec<u8>,
}

impl Heard {
    fn failed(&self, contender: Contender, why: &str) -> Verdict {
        let stage = if self.first_byte.is_some() { Stage::Agent } else { Stage::Boot };
        let console = String::from_utf8_lossy(&self.console);
        let mut lines = console.lines().rev().filter(|line| !line.trim().is_empty());
        // A panic prints more after the line that says why.
        let panic = lines.clone().find(|line| line.contains("Kernel panic"));
        let reason = match panic.or_else(|| lines.next()) {
            Some(line) => format!("{why}; the console says {:?}", line.trim()),
            None => why.to_owned(),
        };
        Verdict::failed(contender, stage, reason)
    }

    /// Takes what a guest that has ended left in its console.
    fn keep_rest(&mut self, console: &Console) {
        let mut chunk = [0; 4096];
        // It ends with the guest's end, or where there is no more yet.
        while let Ok(count @ 1..) = console.read_now(&mut chunk) {
            self.keep(&chunk[..count]);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.console.extend_from_slice(bytes);
        let excess = self.console.len().saturating_sub(CONSOLE_BYTES_MAX);
        self.console.drain(..excess);
    }
}

/// Follows a guest until its agent introduces itself, or says why it never will.
async fn listen(
    machine: &mut Machine,
    heard: &mut Heard,
    clock: &impl Clock,
) -> Result<(), String> {
    let Machine { process, links: Links { console, agent, .. }, notices, .. } = machine;
    let mut agent = watched(agent)?;
    let (mut speech, mut from_console) = (Speech::default(), [0; 4096]);
    let mut from_agent = [0; 4096];
    loop {
        tokio::select! {
            // Last words come before the end that follows them.
            biased;
            read = agent.read(&mut from_agent) => match read {
                Ok(count @ 1..) => {
                    heard.first_byte.get_or_insert_with(|| clock.now());
                    if speech.take(&from_agent[..count])? {
                        heard.hello = Some(clock.now());
                        return Ok(());
                    }
                }
                Ok(0) | Err(_) => return Err(ended(&process.ended().await)),
            },
            read = console.read(&mut from_console) => match read {
                Ok(count @ 1..) => heard.keep(&from_console[..count]),
                Ok(0) | Err(_) => return Err(ended(&process.ended().await)),
            },
            // A driver that hears nothing has no notices.
            Some(notice) = notices.recv() => match notice {
                Notice::Unusable { why } => return Err(why),
                Notice::GuestEnded => return Err("the guest reset".into()),
                Notice::DiskError { .. } => {}
            },
            end = process.ended() => return Err(ended(&end)),
        }
    }
}

fn watched(stream: &StdStream) -> Result<UnixStream, String> {
    let own = stream.try_clone().and_then(|own| own.set_nonblocking(true).map(|()| own));
    own.and_then(UnixStream::from_std).map_err(|error| format!("cannot watch a stream: {error}"))
}

fn ended(end: &VmmEnd) -> String {
    const SIGXCPU: i32 = 24;
    const SIGKILL: i32 = 9;
    match end.signal {
        Some(SIGXCPU) => return "the VMM used up its processor time".into(),
        // The first process of a namespace is spared the signal before this one.
        Some(SIGKILL) => {
            return "the VMM used up its processor time, or the host killed it".into();
        }
        _ => {}
    }
    format!("the VMM did not last: {end}")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The bytes of an agent that is expected to introduce itself.
#[derive(Default)]
struct Speech {
    preamble: Vec<u8>,
    frames: Decoder,
}

impl Speech {
    /// Takes bytes as they came; tells whether the agent has introduced itself.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, String> {
        let missing = PREAMBLE.len() - self.preamble.len();
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.preamble.extend_from_slice(head);
        if !PREAMBLE.starts_with(&self.preamble) {
            return Err("something else than our agent speaks".into());
        }
        self.frames.push(rest);
        while let Some(frame) = self.frames.next_frame().map_err(|error| error.to_string())? {
            match Message::decode(frame.code, &frame.payload) {
                Ok(Message::Hello(_)) => return Ok(true),
                Ok(Message::BootFailed(failed)) => {
                    return Err(format!("boot step {} failed: {}", failed.name, failed.detail));
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::wire::message::{BootStep, Hello};

    #[test]
    fn an_introduction_survives_any_cut() {
        let step = Message::from(BootStep { name: "hello".into(), skipped: None });
        let (version, arch, kernel) = ("0".into(), "x86_64".into(), "6".into());
        let hello = Message::from(Hello { generation: 1, version, arch, kernel });
        let mut bytes = PREAMBLE.to_vec();
        bytes.extend(step.to_frame(0).to_bytes());
        bytes.extend(hello.to_frame(0).to_bytes());
        for size in 1..=bytes.len() {
            let mut speech = Speech::default();
            let said: Vec<bool> =
                bytes.chunks(size).map(|chunk| speech.take(chunk).unwrap()).collect();
            assert_eq!(said.iter().position(|hello| *hello), Some(said.len() - 1), "cut {size}");
        }
    }

    #[test]
    fn another_speaker_is_refused_at_its_first_wrong_byte() {
        Speech::default().take(b"MSBAGNX").unwrap_err();
        Speech::default().take(b"\0").unwrap_err();
    }

    #[test]
    fn a_reason_carries_the_last_words_of_the_console() {
        let mut heard = Heard::default();
        heard.keep(&[b'x'; CONSOLE_BYTES_MAX]);
        heard.keep(b"\nKernel panic - not syncing: no init\nKernel Offset: 0\n\n");
        assert!(heard.console.len() <= CONSOLE_BYTES_MAX);
        let reason = heard.failed(Contender::QEMU_TCG, "it is gone").reason.unwrap();
        assert_eq!(reason, "it is gone; the console says \"Kernel panic - not syncing: no init\"");
    }
}
