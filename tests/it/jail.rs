//! S1: who takes the share server or a VMM over is in an empty room.
//!
//! A hostile program in the server's own jail tries to get out. Each attempt succeeds outside of the
//! jail, fails in it, and fails by each of the layers that are to stop it, without the others.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use runtime::jail::IN_JAIL;
use runtime::jail::Layer;
use rustix::process::geteuid;
use tests::home::put;
use tests::programs;
use tests::run::bare;
use tests::share_server::start_and_end;
use tests::skip::skip;

use Layer::{Capabilities, Landlock, Namespaces, Root, Seccomp};

/// What is tried, and which layers stop it, each alone.
const ATTEMPTS: &[(&str, &[&[Layer]])] = &[
    ("open", &[&[Namespaces, Root], &[Landlock]]),
    ("up", &[&[Namespaces, Root], &[Landlock]]),
    ("up-from-what-is-read", &[&[Namespaces, Root], &[Landlock]]),
    ("up-from-descriptors", &[&[Namespaces, Root], &[Landlock]]),
    ("list", &[&[Namespaces, Root], &[Landlock]]),
    ("write", &[&[Namespaces, Root], &[Landlock]]),
    ("make", &[&[Namespaces, Root], &[Landlock]]),
    ("device", &[&[Capabilities], &[Landlock]]),
    ("run", &[&[Namespaces, Root], &[Landlock], &[Seccomp]]),
    ("run-inside", &[&[Namespaces, Root], &[Landlock], &[Seccomp]]),
    ("connect", &[&[Namespaces], &[Seccomp]]),
    ("connect-abstract", &[&[Namespaces], &[Landlock], &[Seccomp]]),
    ("signal", &[&[Landlock], &[Seccomp]]),
    ("watch", &[&[Seccomp]]),
    ("mount", &[&[Capabilities], &[Landlock], &[Seccomp]]),
    ("capabilities", &[&[Capabilities], &[Seccomp]]),
];

/// What only root can do, in a jail or out of it.
const ROOTS: [&str; 3] = ["device", "mount", "capabilities"];

/// Somebody who is not root.
const SOMEBODY: u32 = 65534;

/// Two folders, a canary beside them, and what listens on the host.
struct Yard {
    folder: PathBuf,
    port: u16,
    _listeners: (TcpListener, UnixListener),
}

impl Yard {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("msb-yard-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        for name in ["", "work", "read"] {
            fs::create_dir(folder.join(name)).unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o777)).unwrap();
        }
        for file in ["canary", "read/file"] {
            put(&folder.join(file), "nobody sees this");
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o666)).unwrap();
        }
        // It needs nothing else to run.
        fs::copy(programs::folder().join("agentd"), folder.join("work/program")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_intruder"), folder.join("intruder")).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let name = SocketAddr::from_abstract_name(format!("msb-intruder-{port}")).unwrap();
        let unix = UnixListener::bind_addr(&name).unwrap();
        Self { folder, port, _listeners: (tcp, unix) }
    }

    /// Returns the runtime where everybody may run it.
    fn runtime(&self) -> PathBuf {
        let path = self.folder.join("msb-runtime");
        if !path.exists() {
            fs::copy(programs::folder().join("msb-runtime"), &path).unwrap();
        }
        path
    }

    fn attempt(&self, attempt: &str, layers: &[Layer], uid: u32) -> Output {
        let names: Vec<&str> = layers.iter().map(|layer| layer.as_str()).collect();
        let mut command = Command::new(self.folder.join("intruder"));
        command.args([attempt, &names.join(",")]);
        command.arg(self.folder.join("canary")).arg(self.port.to_string());
        command.current_dir(&self.folder);
        if uid != 0 && geteuid().is_root() {
            command.uid(uid).gid(uid);
        }
        for made in ["read/new", "work/null"] {
            drop(fs::remove_file(self.folder.join(made)));
        }
        command.output().unwrap()
    }

    /// Tells whether this host gives somebody the whole jail.
    fn is_whole_for(&self, uid: u32) -> bool {
        let output = self.attempt("list", &Layer::ALL, uid);
        !String::from_utf8_lossy(&output.stderr).contains("missing:")
    }

    /// Returns what the host refuses of these layers.
    fn missing(&self, command: Command, layers: &str) -> Vec<String> {
        let mut command = command;
        command.arg(self.folder.join("intruder")).args(["list", layers]);
        command.arg(self.folder.join("canary")).arg("0").current_dir(&self.folder);
        let says = command.output().unwrap().stderr;
        let says = String::from_utf8(says).unwrap();
        says.lines().filter_map(|line| line.strip_prefix("missing: ")).map(str::to_owned).collect()
    }

    /// Holds that an attempt fails in these layers, and that the host has all of them.
    fn holds(&self, attempt: &str, layers: &[Layer], uid: u32) {
        let output = self.attempt(attempt, layers, uid);
        let says = String::from_utf8_lossy(&output.stderr);
        assert!(!says.contains("missing:"), "{attempt} as {uid}: {says}");
        assert!(!output.status.success(), "{attempt} as {uid} gets through {layers:?}");
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

#[test]
fn s1_who_takes_the_share_server_over_is_in_an_empty_room() {
    let yard = Yard::new("root");
    let uid = geteuid().as_raw();
    if !yard.is_whole_for(uid) {
        return skip("S1");
    }
    let without_seccomp: Vec<Layer> =
        Layer::ALL.into_iter().filter(|layer| *layer != Seccomp).collect();
    for (attempt, stopped_by) in ATTEMPTS {
        if uid == 0 || !ROOTS.contains(attempt) {
            let outside = yard.attempt(attempt, &[], uid);
            assert!(outside.status.success(), "{attempt} fails by itself: {outside:?}");
        }
        yard.holds(attempt, &Layer::ALL, uid);
        // A descriptor of a process that cannot be signalled or looked into is nothing.
        if *attempt != "watch" {
            yard.holds(attempt, &without_seccomp, uid);
        }
        for layers in *stopped_by {
            yard.holds(attempt, layers, uid);
        }
    }
}

#[test]
fn s1_the_room_is_as_empty_for_somebody_who_is_not_root() {
    let yard = Yard::new("somebody");
    if !yard.is_whole_for(SOMEBODY) {
        return skip("S1-somebody");
    }
    for (attempt, _) in ATTEMPTS {
        // Whoever tests as root is nobody that somebody may signal.
        let cannot = ROOTS.contains(attempt) || (geteuid().is_root() && *attempt == "signal");
        let outside = yard.attempt(attempt, &[], SOMEBODY);
        assert!(cannot || outside.status.success(), "{attempt} fails by itself: {outside:?}");
        yard.holds(attempt, &Layer::ALL, SOMEBODY);
    }
}

#[test]
fn a_host_that_refuses_namespaces_keeps_its_root_and_gives_the_other_layers() {
    let yard = Yard::new("refused");
    if !yard.is_whole_for(geteuid().as_raw()) {
        return skip("S1");
    }
    // Not in namespaces of its own it would leave the root of everybody.
    let alone = yard.missing(bare("env"), "root");
    assert_eq!(alone.len(), 1, "{alone:?}");
    assert!(alone[0].starts_with("root: without namespaces of its own"), "{alone:?}");

    let mut refusing = bare("unshare");
    let script = "echo 0 > /proc/sys/user/max_net_namespaces && exec \"$@\"";
    refusing.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
    let names = Layer::ALL.map(Layer::as_str).join(",");
    let missing = yard.missing(refusing, &names);
    let layers: Vec<_> = missing.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(layers, ["namespaces", "root"], "{missing:?}");
}

#[test]
fn a_share_server_writes_its_shares_to_the_disk_at_its_end() {
    let yard = Yard::new("settle");
    for file in [None, Some("file"), Some("absent")] {
        let command = bare("env");
        let (said, ended) =
            start_and_end(command, &yard.folder.join("read"), (file, None)).unwrap();
        assert!(said.ends_with(IN_JAIL), "{file:?}: {said}");
        let says = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && says.is_empty(), "{file:?}: {says}");
    }
}

/// What a VMM that was taken over tries, and whether it is done outside of a jail by who is not root: what is not
/// would harm the host, or takes more than that.
const TAKEN: &[(&str, bool)] = &[
    ("open", true),
    ("up-from-descriptors", false),
    ("users", true),
    ("devices", true),
    ("processes", true),
    ("list", true),
    ("write-a-program", false),
    ("write-beside", false),
    ("device", false),
    ("connect", true),
    ("listen", true),
    ("send", true),
    ("connect-abstract", true),
    ("signal", true),
    ("watch", true),
    ("mount", false),
    ("namespaces", true),
    ("capabilities", false),
];

/// Starts a VMM that was taken over, with something listening on the host; returns what it says.
fn taken_over(yard: &Yard, uid: u32, jailed_as: Option<&str>) -> String {
    // A folder of its own: what lies beside a program it finds.
    let program = yard.folder.join("program/taken");
    if !program.exists() {
        fs::create_dir(yard.folder.join("program")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_taken"), &program).unwrap();
    }
    let told = yard.folder.join("read/told");
    // Outside of a jail nothing is tried that would harm whoever tests.
    let tried = TAKEN.iter().filter(|(_, works)| jailed_as.is_some() || *works);
    let names: Vec<&str> = tried.map(|(name, _)| *name).collect();
    // Whoever tests as root is nobody that somebody may signal, so it is its own shell's.
    let script = "echo \"$1 $2 $$ $3\" > \"$4\" && shift 4 && \"$@\"; :";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).arg(yard.folder.join("canary")).arg(yard.port.to_string());
    command.arg(names.join(" ")).arg(&told);
    if let Some(contender) = jailed_as {
        command.arg(yard.runtime()).args(["probe", contender]);
        command
            .arg("--qemu")
            .arg(&program)
            .arg("--initramfs")
            .arg(&told)
            .arg("--kernel")
            .arg(&told);
    } else {
        command.arg(&program).arg("-kernel").arg(&told);
    }
    if uid != 0 && geteuid().is_root() {
        command.uid(uid).gid(uid);
    }
    let output = command.current_dir(&yard.folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap().replace("\\n", "\n")
}

/// Returns what the jail of a VMM lacks for somebody, as the runtime finds it out.
fn lacks(yard: &Yard, uid: u32) -> Vec<String> {
    let mut command = Command::new(yard.runtime());
    command.arg("jail").current_dir(&yard.folder);
    if uid != 0 && geteuid().is_root() {
        command.uid(uid).gid(uid);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "as {uid}: {output:?}");
    let looked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(looked["missing"].clone()).unwrap()
}

#[test]
fn s1_a_vmm_that_is_taken_over_is_in_an_empty_room() {
    let yard = Yard::new("vmm");
    for uid in [geteuid().as_raw(), SOMEBODY] {
        if !yard.is_whole_for(uid) {
            return skip("S1");
        }
        assert_eq!(
            lacks(&yard, uid),
            [""; 0],
            "a jail that a process can make lacks nothing of a starter"
        );
        drop(fs::remove_file(yard.folder.join("read/told")));
        let outside = taken_over(&yard, uid, None);
        for (name, _) in TAKEN.iter().filter(|(_, works)| *works) {
            assert!(
                outside.contains(&format!("{name}: done")),
                "{name} fails by itself: {outside}"
            );
        }
        // On KVM its room holds the device as well.
        let on_kvm = (uid == 0 && File::options().write(true).open("/dev/kvm").is_ok())
            .then_some("qemu-kvm");
        for contender in ["qemu-tcg"].into_iter().chain(on_kvm) {
            let inside = taken_over(&yard, uid, Some(contender));
            assert!(inside.contains("it exited with code 3"), "{contender} as {uid}: {inside}");
            for (name, _) in TAKEN {
                let refused = inside.contains(&format!("{name}: refused"));
                assert!(refused, "{name} of {contender} as {uid}: {inside}");
            }
        }
    }
}
