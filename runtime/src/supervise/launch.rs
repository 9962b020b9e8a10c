//! A machine's whole time, from the descriptors of the process to its exit code.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schema::launch::{DriverName, LaunchRecord, StartUp};
use schema::lifecycle::Phase;
use schema::link;
use schema::record::{self, Effective, Health, Record};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::senses::{Senses, Signals, Streams};
use super::{Supervisor, Times, again, console, finish};
use crate::boot::{BootError, Prepared, Running, StartPipe};
use crate::chain;
use crate::clock::{Clock as _, HostClock};
use crate::control::{Ask, Desk};
use crate::figures::{Figures, Parts};
use crate::folder::Folder;
use crate::health::Probes;
use crate::hypervisor;
use crate::journal::Journal;
use crate::life::{Ages, Chance, Life, Terms};
use crate::logs::{Console, ExecLog};
use crate::net::Net;
use crate::relay::{Heard, Hub};
use crate::standing::Standing;

/// How long answers that are due may take to be written before the process ends.
const ANSWERS_MAX: Duration = Duration::from_secs(1);

/// How much of each kind waits for the supervisor.
const HEARD_MAX: usize = 256;
const CONSOLE_MAX: usize = 16;
const ASKS_MAX: usize = 64;

/// The largest record of the boot before.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Runs the machine that this process was started for, to its end.
pub fn run() -> ExitCode {
    let (pipe, prepared) = Prepared::open();
    let Some(mut pipe) = pipe else {
        // Nobody listens; standard error is the log, if it is anything.
        if let Err(error) = prepared {
            use std::io::Write as _;
            writeln!(io::stderr(), "msb-runtime: {}", chain(&error)).ok();
        }
        return ExitCode::from(schema::exit::Kind::Usage.code());
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return failed(&mut pipe, &error),
    };
    match event_loop() {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, whole(prepared, pipe)),
        Err(source) => {
            let what = "an event loop".into();
            failed(&mut pipe, &BootError::Folder { what, source })
        }
    }
}

/// Makes the event loop, which panics where the host has no socket pair for its signals.
fn event_loop() -> io::Result<tokio::runtime::Runtime> {
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    std::panic::catch_unwind(build).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().cloned();
        Err(io::Error::other(said.unwrap_or_else(|| "it panicked".to_owned())))
    })
}

async fn whole(prepared: Prepared, mut pipe: StartPipe) -> ExitCode {
    // Before there is a VMM: a machine that is asked to end while it starts ends in good order.
    let signals = Signals::listen()
        .map_err(|source| BootError::Folder { what: "a listener to signals".into(), source });
    // Before there is a second thread, and before anything of a guest is read.
    let confined = signals.and_then(|signals| Ok((signals, prepared.confine()?)));
    let begun =
        confined.and_then(|(signals, confined)| Ok((signals, confined, Begun::new(&prepared)?)));
    let (signals, confined, begun) = match begun {
        Ok(begun) => begun,
        Err(error) => return failed(&mut pipe, &error),
    };
    let is_ephemeral = prepared.launch.machine.ephemeral;
    let folder = Arc::clone(&prepared.folder);
    let built = match prepared.build(confined) {
        Ok(built) => built,
        Err(error) => return begun.failed(&mut pipe, &error),
    };
    let running = match built.run() {
        Ok(running) => running,
        Err(failed) => {
            let (prepared, error) = *failed;
            let code = begun.failed(&mut pipe, &error);
            finish::clear(&folder, prepared.sockets, is_ephemeral);
            return code;
        }
    };
    match begun.supervise(running, signals, &mut pipe).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&mut pipe, &error),
    }
}

/// A machine that has a record, a log and a journal, and no VMM yet.
struct Begun {
    standing: Standing,
    journal: Journal,
    log: Rc<ExecLog>,
    probes: Probes,
}

impl Begun {
    fn new(prepared: &Prepared) -> Result<Self, BootError> {
        let folder = &prepared.folder;
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| BootError::Folder { what, source }
        };
        let record = first_record(&prepared.launch, folder).map_err(failed("the record"))?;
        Ok(Self {
            standing: Standing::begin(Arc::clone(folder), record).map_err(failed("the record"))?,
            journal: Journal::open(Arc::clone(folder)).map_err(failed("the file of events"))?,
            log: Rc::new(ExecLog::open(Arc::clone(folder)).map_err(failed("exec.log"))?),
            probes: probes(&prepared.launch)?,
        })
    }

    /// Writes down that there is no machine, and says so.
    fn failed(self, pipe: &mut StartPipe, error: &BootError) -> ExitCode {
        let at = HostClock.wall_ms();
        let report = error.report();
        let message = std::iter::once(&report.message).chain(&report.causes);
        let message = message.cloned().collect::<Vec<_>>().join(": ");
        self.standing.change(|record| {
            record.phase = Phase::Failed;
            record.reason = Some(error.reason().into());
            record.message = Some(message);
            (record.since_ms, record.ended_at_ms) = (at, Some(at));
        });
        failed(pipe, error)
    }

    async fn supervise(
        self,
        running: Running,
        signals: Signals,
        pipe: &mut StartPipe,
    ) -> Result<(), BootError> {
        let Running { prepared, machine, shares, mut net, upper, mould, jail_missing } = running;
        self.standing.change(|record| record.jail_missing = jail_missing);
        let Prepared { launch, values, creator, folder, lease, sockets, .. } = prepared;
        let failed = |source| BootError::Folder { what: "a stream of the machine".into(), source };
        let hub = Hub::new(Rc::clone(&self.log));
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let links = (machine.links.agent, machine.links.console);
        let (channel, console) = listen(links, &hub).map_err(failed)?;
        let (shares, tally) = shares.map(|served| (served.child, served.tally)).unzip();
        let denials = net.as_mut().and_then(Net::take_denials);
        let streams = Streams { channel, console, notices: machine.notices, shares, denials };
        let mut senses = Senses::new(streams, asked, creator, signals).map_err(failed)?;
        let (due, dues) = mpsc::channel(1);
        let desk = self.desk(&launch, asks, due.downgrade());
        let server = answer(desk, &sockets.control).map_err(failed)?;
        let figures = Parts {
            process: machine.process.seen(),
            shown: self.standing.watch(),
            hub: Rc::clone(&hub),
            counters: machine.monitor.counters(),
            traffic: net.as_ref().map(Net::traffic),
            shares: tally,
            upper: copy_of(upper.as_ref()).map_err(failed)?,
            folder: Arc::clone(&folder),
        };
        let agent_listener = sockets.agent.try_clone().map_err(failed)?;
        let is_ephemeral = launch.machine.ephemeral;
        let mut supervisor = Supervisor {
            clock: HostClock,
            life: Life::new(terms(&launch), chance(), HostClock.now()),
            ages: Ages::new(again::limits(&launch.timers), HostClock.now()),
            mould,
            wants_machine: false,
            shown: folder.shown(),
            console: Console::open(Arc::clone(&folder)),
            process: Rc::new(machine.process),
            monitor: machine.monitor,
            net,
            standing: self.standing,
            journal: self.journal,
            log: self.log,
            probes: self.probes,
            figures: Figures::start(&launch, figures),
            hub,
            values,
            launch,
            main: None,
            updates: VecDeque::new(),
            kills: Vec::new(),
            agent_socket: Some(listener(&agent_listener).map_err(failed)?),
            agent_listener,
            clients: None,
            upper,
            folder: Arc::clone(&folder),
            vmm_end: None,
            last_words_until: None,
            times: Times::new(HostClock),
            signals: 0,
            rests: false,
        };
        supervisor.write_started();
        pipe.say(&StartUp::Serving);
        supervisor.supervise(&mut senses).await;
        server.abort();
        last_words((supervisor, senses, due), dues).await;
        finish::clear(&folder, sockets, is_ephemeral);
        drop(lease);
        Ok(())
    }

    fn desk(
        &self,
        launch: &LaunchRecord,
        asks: mpsc::Sender<Ask>,
        due: mpsc::WeakSender<()>,
    ) -> Desk {
        let (machine, nonce) = (launch.machine.id.clone(), launch.nonce.clone());
        Desk { machine, nonce, shown: self.standing.watch(), asks, due }
    }
}

impl Supervisor {
    /// Writes down that a VMM runs, and what leads to it.
    pub(super) fn write_started(&mut self) {
        let at = self.clock.wall_ms();
        let vmm = crate::host::process(self.process.pid());
        let group = self.process.group().map(|path| path.display().to_string());
        self.standing.change(|record| {
            record.vmm = vmm.ok();
            record.control_group.clone_from(&group);
            record.started_at_ms = Some(at);
        });
        self.note_ports();
    }
}

/// Listens to the agent and to the console.
pub(super) fn listen(
    (agent, console): (std::os::unix::net::UnixStream, hypervisor::Console),
    hub: &Rc<Hub>,
) -> io::Result<(mpsc::Receiver<Heard>, mpsc::Receiver<Vec<u8>>)> {
    let (heard, channel) = mpsc::channel(HEARD_MAX);
    let (bytes, console_bytes) = mpsc::channel(CONSOLE_MAX);
    let agent = UnixStream::from_std(agent)?;
    tokio::task::spawn_local(crate::relay::channel::run(Rc::clone(hub), agent, heard));
    tokio::task::spawn_local(console::listen(console, bytes));
    Ok((channel, console_bytes))
}

fn listener(socket: &std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    socket.try_clone().and_then(UnixListener::from_std)
}

/// Returns a descriptor once more.
pub(super) fn copy_of(fd: Option<&OwnedFd>) -> io::Result<Option<OwnedFd>> {
    fd.map(OwnedFd::try_clone).transpose()
}

/// Answers whoever asks on the control socket.
fn answer(desk: Desk, socket: &std::os::unix::net::UnixListener) -> io::Result<JoinHandle<()>> {
    let listener = listener(socket)?;
    Ok(tokio::task::spawn_local(crate::control::accept(Rc::new(desk), listener)))
}

/// Lets go of what is over; waits for answers that are due, at most so long.
async fn last_words(over: (Supervisor, Senses, mpsc::Sender<()>), mut dues: mpsc::Receiver<()>) {
    // Whoever waited is answered by now, but for what is still being written.
    let hub = Rc::clone(&over.0.hub);
    drop(over);
    let said = async {
        dues.recv().await;
        hub.clients_gone().await;
    };
    tokio::time::timeout(ANSWERS_MAX, said).await.ok();
}

fn failed(pipe: &mut StartPipe, error: &BootError) -> ExitCode {
    tracing::error!(%error, "the machine did not start");
    let error = error.report();
    let code = schema::exit::Kind::of_code(&error.code).code();
    pipe.say(&StartUp::Failed { error });
    ExitCode::from(code)
}

fn terms(launch: &LaunchRecord) -> Terms {
    Terms {
        kind: launch.machine.kind,
        has_workload: launch.workload.argv.is_some(),
        success_codes: launch.workload.success_codes.clone(),
        boot: Duration::from_millis(launch.timers.boot_ms),
        gate: Duration::from_millis(launch.ready.timeout_ms),
        grace: Duration::from_millis(launch.timers.stop_grace_ms),
        restart: launch.restart.clone(),
        on_unhealthy: launch.health.as_ref().map(|health| health.on_unhealthy).unwrap_or_default(),
    }
}

/// Returns numbers by which delays vary.
fn chance() -> Chance {
    // Without any, delays do not vary; nothing else hangs on it.
    Chance::from_fn(|| crate::sys::random::<8>().map_or(0, u64::from_ne_bytes))
}

pub(super) fn probes(launch: &LaunchRecord) -> Result<Probes, BootError> {
    // Where the workload may listen: the loopback first, then the guest's own device.
    let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let is_guest = launch.driver.name != DriverName::Process;
    if is_guest && launch.network.link().is_some() {
        addresses.extend([IpAddr::from(link::GUEST_V4), IpAddr::from(link::GUEST_V6)]);
    }
    Probes::new(&launch.ready, launch.health.as_ref(), addresses).map_err(|error| {
        BootError::Launch { why: format!("the pattern of the ready probe is none: {error}") }
    })
}

fn first_record(launch: &LaunchRecord, folder: &Folder) -> io::Result<Record> {
    let at = HostClock.wall_ms();
    // One that cannot be read is of no machine that ran here.
    let last = folder.read(record::FILE, RECORD_BYTES_MAX)?;
    let last = serde_json::from_slice::<Record>(&last).map_or(0, |last| last.boot);
    Ok(Record {
        format: record::FORMAT,
        machine: launch.machine.id.clone(),
        nonce: launch.nonce.clone(),
        runtime: crate::host::process(std::process::id())?,
        version: env!("CARGO_PKG_VERSION").into(),
        vmm: None,
        driver: launch.driver.name,
        accelerator: launch.driver.accelerator,
        isolation: launch.driver.accelerator.isolation(),
        phase: Phase::Booting,
        reason: None,
        detail: None,
        message: None,
        since_ms: at,
        started_at_ms: None,
        first_byte_at_ms: None,
        agent_ready_at_ms: None,
        ready_at_ms: None,
        ended_at_ms: None,
        boot: last.saturating_add(1),
        restarts: 0,
        health: if launch.health.is_some() { Health::Starting } else { Health::None },
        generation: None,
        effective: Effective {
            cpus: launch.shape.cpus,
            memory_bytes: launch.shape.memory_bytes,
            stop_grace_ms: launch.timers.stop_grace_ms,
            idle_ms: launch.timers.idle_ms,
            max_ms: launch.timers.max_ms,
        },
        asked: None,
        exit: None,
        forced: false,
        ports: Vec::new(),
        jail_missing: Vec::new(),
        control_group: None,
        console_tail: Vec::new(),
    })
}
