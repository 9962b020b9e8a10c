//! A machine of a test: a folder, a launch record by hand, the real runtime and agent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, IoSlice, Read, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use schema::control::{Answer, Call, Milestone, Reply, Request};
use schema::launch::{
    Accelerator, Driver, DriverName, FORMAT, Guest, Kind, LaunchRecord, Logs, Machine, Network,
    Probe, ProbeKind, Root, Security, Shape, StartUp, Timers, Workload, fd,
};
use schema::record::Record;

/// How long a test waits for something that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A machine that was started, and everything that hangs on it.
pub(crate) struct House {
    /// The machine folder.
    pub(crate) folder: PathBuf,
    /// The runtime.
    pub(crate) runtime: Child,
    /// The creator's end of its pipe.
    pub(crate) creator: Option<File>,
    startup: BufReader<File>,
}

/// Returns the path of a program of this workspace, beside the runtime's.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_msb-runtime")).with_file_name(name);
    assert!(path.exists(), "{} is missing: run `cargo build -p {name}`", path.display());
    path
}

/// Returns a launch record for the driver `process`.
pub(crate) fn launch(argv: Option<&[&str]>) -> LaunchRecord {
    let program = program("agentd").display().to_string();
    let argv = argv.map(|argv| argv.iter().map(|word| (*word).to_owned()).collect());
    LaunchRecord {
        format: FORMAT,
        nonce: "0".repeat(32),
        made_by: "test".into(),
        machine: Machine {
            id: "4f2a9c017be3d85a".into(),
            project: "test".into(),
            project_id: "test".into(),
            sandbox: "web".into(),
            instance: String::new(),
            kind: Kind::Service,
            ephemeral: false,
            labels: BTreeMap::new(),
        },
        driver: Driver { name: DriverName::Process, accelerator: Accelerator::None, program },
        shape: Shape { cpus: 1, cpus_max: 2, memory_bytes: 1 << 28, memory_max_bytes: 1 << 29 },
        resources: vec![],
        root: Root { upper_bytes: 0, image_digest: String::new(), image: "builtin:base".into() },
        mounts: vec![],
        guest: Guest {
            hostname: "web".into(),
            user: None,
            workdir: None,
            shell: "/bin/sh".into(),
            env: BTreeMap::from([("PLAIN".into(), "plain".into())]),
            sensitive_env: vec![],
            rlimits: vec![],
            security: Security::Default,
            os_machine_id: "0".repeat(32),
        },
        workload: Workload { argv, stop_signal: None, success_codes: vec![0] },
        restart: None,
        network: Network::Off,
        ready: Probe { kind: ProbeKind::Agent, timeout_ms: 10_000 },
        health: None,
        timers: Timers { stop_grace_ms: 5000, boot_ms: 10_000, idle_ms: None, max_ms: None },
        logs: Logs { level: "debug".into(), boot_debug: false },
        metrics: schema::figures::Measuring::default(),
        reserve_bytes: 0,
        require_jail: false,
        attached: false,
    }
}

impl House {
    /// Starts a machine and waits until it serves.
    pub(crate) fn serving(launch: &LaunchRecord) -> Self {
        let mut house = Self::start(launch, &[]);
        assert!(matches!(house.word(), Some(StartUp::Leased { .. })));
        assert_eq!(house.word(), Some(StartUp::Serving), "{}", house.log());
        house
    }

    /// Starts a machine; `values` go through descriptor 4.
    pub(crate) fn start(launch: &LaunchRecord, values: &[(&str, &str)]) -> Self {
        Self::start_in(a_folder(), launch, values)
    }

    /// Starts a machine in a folder that is there.
    pub(crate) fn start_in(
        folder: PathBuf,
        launch: &LaunchRecord,
        values: &[(&str, &str)],
    ) -> Self {
        Self::start_with(folder, launch, values, &[])
    }

    /// Starts a machine with its resources, whose numbers begin at [`fd::RESOURCES`].
    pub(crate) fn start_with(
        folder: PathBuf,
        launch: &LaunchRecord,
        values: &[(&str, &str)],
        resources: &[File],
    ) -> Self {
        let (startup, startup_end) = a_pipe();
        let (values_end, values_pipe) = a_pipe();
        let (creator_end, creator) = a_pipe();
        let folder_fd = File::open(&folder).unwrap();
        let log = File::options().append(true).create(true).open(folder.join("runtime.log"));
        let record = sealed(launch);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let runtime = Command::new(program("msb-runtime"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let mut given = vec![
            (fd::LAUNCH, record.as_fd()),
            (fd::VALUES, values_end.as_fd()),
            (fd::STARTUP, startup_end.as_fd()),
            (fd::CREATOR, creator_end.as_fd()),
            (fd::FOLDER, folder_fd.as_fd()),
        ];
        given.extend((fd::RESOURCES..).zip(resources.iter().map(|file| file.as_fd())));
        hand_over(&ours, &given);
        write_values(File::from(values_pipe), values);
        let startup = BufReader::new(File::from(startup));
        Self { folder, runtime, creator: Some(File::from(creator)), startup }
    }

    /// Starts a machine whose agent is a script; its fifth argument is the agent's descriptor.
    pub(crate) fn start_scripted(script: &str, change: impl FnOnce(&mut LaunchRecord)) -> Self {
        let folder = a_folder();
        let agent = folder.join("scripted-agent");
        let mut file =
            File::options().write(true).create_new(true).mode(0o755).open(&agent).unwrap();
        // Only bash redirects to descriptors of two digits.
        write!(file, "#!/bin/bash\n{script}\n").unwrap();
        drop(file);
        let mut record = launch(None);
        record.driver.program = agent.display().to_string();
        change(&mut record);
        Self::start_in(folder, &record, &[])
    }

    /// Returns the runtime's next word on the start-up pipe.
    pub(crate) fn word(&mut self) -> Option<StartUp> {
        let mut line = String::new();
        self.startup.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Returns what the runtime logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("runtime.log")).unwrap_or_default()
    }

    /// Returns the machine's record.
    pub(crate) fn record(&self) -> Record {
        serde_json::from_slice(&std::fs::read(self.folder.join("record")).unwrap()).unwrap()
    }

    /// Returns the record's phase and reason, as people write them.
    pub(crate) fn phase(&self) -> String {
        let record = self.record();
        let detail = record.detail.map(|detail| format!(", {detail}")).unwrap_or_default();
        format!("{}({}{detail})", record.phase.as_str(), record.reason.unwrap_or_default())
    }

    /// Waits until the runtime has ended; returns its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.runtime.wait().unwrap().code()
    }

    /// Connects to the control socket and says hello.
    pub(crate) fn control(&self) -> Control {
        let mut control = self.silent_control();
        let hello = Call::Hello { format: 1, version: "test".into() };
        assert!(matches!(control.call(hello), Answer::Ok { .. }));
        control
    }

    /// Connects to the control socket.
    pub(crate) fn silent_control(&self) -> Control {
        let stream = UnixStream::connect(self.folder.join("control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Control { stream, next: 1 }
    }

    /// Waits for a milestone; returns whether it was reached.
    pub(crate) fn wait(&self, until: Milestone) -> bool {
        match self.control().call(Call::Wait { until }) {
            Answer::Ok { result: Reply::Status { .. }, .. } => true,
            Answer::Ok { result: Reply::Unreachable { .. }, .. } => false,
            other => panic!("{other:?}; {}", self.log()),
        }
    }

    /// Stops the machine and waits for the runtime's end.
    pub(crate) fn stop(&mut self) {
        let (reason, actor) = ("requested".into(), "test".into());
        self.control().call(Call::Stop { grace_ms: Some(5000), reason, actor });
        assert_eq!(self.ended(), Some(0), "{}", self.log());
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.runtime.kill().ok();
        self.runtime.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// A client of the control socket.
pub(crate) struct Control {
    stream: UnixStream,
    next: u64,
}

impl Control {
    /// Asks, and returns the answer.
    pub(crate) fn call(&mut self, call: Call) -> Answer {
        self.ask(call);
        self.answer().expect("the runtime answers before it ends")
    }

    /// Asks.
    pub(crate) fn ask(&mut self, call: Call) {
        let request = Request { id: self.next, call };
        self.next += 1;
        let text = serde_json::to_vec(&request).unwrap();
        let length = u32::try_from(text.len()).unwrap();
        self.stream.write_all(&length.to_be_bytes()).unwrap();
        self.stream.write_all(&text).unwrap();
    }

    /// Returns the next answer, `None` at the end.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            read => read.unwrap(),
        }
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut text).unwrap();
        Some(serde_json::from_slice(&text).unwrap())
    }
}

/// Sends a signal to a process of the test.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A process that is no child of the test's.
pub(crate) struct Watched(OwnedFd);

impl Watched {
    /// Opens a process that runs.
    pub(crate) fn open(pid: u32) -> Self {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        Self(pidfd_open(pid, PidfdFlags::empty()).unwrap())
    }

    /// Waits for its end.
    pub(crate) fn wait(self) {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut fds, Some(&patience)).unwrap(), 1, "it goes on");
    }
}

/// Makes a folder for a machine. One that a failed test left is passed over: process ids come again.
pub(crate) fn a_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("msb-rt-{}-{number}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder).unwrap(),
        }
    }
}

fn a_pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).unwrap()
}

fn sealed(launch: &LaunchRecord) -> OwnedFd {
    let memory = memfd_create("launch", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = File::from(memory);
    serde_json::to_writer(&mut file, launch).unwrap();
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).unwrap();
    file.into()
}

fn hand_over(socket: &UnixStream, given: &[(i32, BorrowedFd<'_>)]) {
    let numbers: Vec<i32> = given.iter().map(|(number, _)| *number).collect();
    let descriptors: Vec<BorrowedFd<'_>> = given.iter().map(|(_, fd)| *fd).collect();
    let text = serde_json::to_vec(&numbers).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(socket, &[IoSlice::new(&text)], &mut ancillary, SendFlags::empty()).unwrap();
}

fn write_values(mut pipe: File, values: &[(&str, &str)]) {
    for (name, value) in values {
        let name_bytes = u16::try_from(name.len()).unwrap().to_be_bytes();
        let value_bytes = u32::try_from(value.len()).unwrap().to_be_bytes();
        let parts: [&[u8]; 4] = [&name_bytes, name.as_bytes(), &value_bytes, value.as_bytes()];
        pipe.write_all(&parts.concat()).unwrap();
    }
}
