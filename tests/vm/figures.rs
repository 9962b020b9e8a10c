//! What is exported of a machine, at a receiver that nobody here wrote, against what is known that it
//! did: by the guest itself, and by whoever made it do it; on an idle host and on a busy one.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::ops::RangeInclusive;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tests::home::Home;
use tests::oracle::{nothing_lives, reversed};
use tests::otlp::Receiver;
use tests::run::{eventually, pause};
use tests::skip::skip;

const BOX: &str = r#"
project "figures"
metrics { interval "1s" }
sandbox "box" {
    image "builtin:base"
    memory "256MiB"
    stop-grace "1s"
    port guest=80 host="auto"
    port guest=81 host="auto"
    mount "/scratch" { tmpfs "100MiB" }
    mount "/work" { dir "./work" ensure="ensure" }
    command "sh" "-c" "(while :; do head -c 20971520 /dev/zero | nc -l -p 81; done) & while :; do nc -l -p 80 > /dev/null; done"
}
"#;

const LIMIT: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// What moves through the network, each way.
const NET_BYTES: u64 = 20 * MIB;

/// As long as a sample may be behind: its interval, and the guest's own word about its memory.
const BEHIND: Duration = Duration::from_secs(4);

/// A machine, and what is exported of it.
struct Watched {
    home: Home,
    receiver: Receiver,
}

/// What was exported of one sample.
#[derive(Debug)]
struct Exported(Vec<Value>);

impl Watched {
    /// Returns what is exported of the sandbox, taken after now.
    fn sample(&self) -> Exported {
        pause(BEHIND);
        let before = self.receiver.requests().len();
        let mut command = self.home.program("msb-metrics");
        let endpoint = format!("http://127.0.0.1:{}", self.receiver.grpc);
        command.args(["otel", "--once", "--endpoint", &endpoint]);
        self.home.spawn(command).wait(LIMIT).exits(0);
        let requests = self.receiver.requests().split_off(before);
        Exported(tests::otlp::points(&requests[0]))
    }

    fn sh(&self, script: &str) -> String {
        self.home.msb(["exec", "box", "--", "sh", "-c", script]).exits(0).stdout.clone()
    }
}

impl Exported {
    fn point(&self, series: &str) -> &Value {
        let name = format!("microsandbox.{series}");
        let mut found = self.0.iter().filter(|point| point["name"] == *name);
        let point = found.next().unwrap_or_else(|| panic!("{name} of {self:?}"));
        assert!(found.next().is_none(), "{name} is told once: {self:?}");
        assert_eq!(point["attributes"]["sandbox.name"], "box");
        point
    }

    fn real(&self, series: &str) -> f64 {
        self.point(series)["value"].as_f64().unwrap()
    }

    fn whole(&self, series: &str) -> u64 {
        self.point(series)["value"].as_u64().unwrap()
    }

    /// Returns when the sample was taken, in milliseconds.
    fn time(&self) -> f64 {
        self.point("cpu.time")["time"].as_f64().unwrap() / 1e6
    }
}

/// Processes that take the host's processors, until they are dropped.
struct Load(Vec<Child>);

impl Load {
    fn of(count: usize) -> Self {
        let busy = || Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..count).map(|_| busy()).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Tells whether a series grew by so much, to a few percent.
fn grew(samples: [&Exported; 2], series: &str, by: u64, percent: u64) {
    let [before, after] = samples.map(|sample| sample.whole(series));
    let grown = after.checked_sub(before).expect("a series that only grows");
    let fits: RangeInclusive<u64> = by - by * percent / 100..=by + by * percent / 100;
    println!("{series}: {grown} of {by} bytes");
    assert!(fits.contains(&grown), "{series} grew by {grown}, not {by}: {before} to {after}");
}

#[test]
fn rt_11_5_what_is_exported_is_what_a_guest_did_on_an_idle_host() {
    tells_what_a_guest_did(0);
}

#[test]
fn rt_11_5_what_is_exported_is_what_a_guest_did_on_a_busy_host() {
    tells_what_a_guest_did(2);
}

fn tells_what_a_guest_did(busy_loops: usize) {
    let home = Home::machine();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", BOX);
    home.msb(["up"]).exits(0);
    let told = home.msb(["metrics", "box", "--json"]).exits(0).json()[0].clone();
    for (field, source) in [
        ("vcpu_time_ns", "vmm"),
        ("disk_write_bytes", "vmm"),
        ("memory_bytes", "agent"),
        ("net_rx_bytes", "runtime"),
        ("upper_used_bytes", "runtime"),
    ] {
        assert_eq!(told["source"][field], source, "{told}");
    }
    assert_eq!(told["boot"], 1, "{told}");

    let load = Load::of(busy_loops);
    let watched = Watched { home, receiver };
    let first = watched.sample();
    assert_eq!(first.whole("memory.limit"), 256 * MIB);
    holds_memory(&watched, &first);
    writes_its_disk(&watched);
    shares_files(&watched);
    speaks(&watched);
    burns(&watched);
    let last = watched.sample();
    let resident = last.whole("memory.host_resident");
    assert!((64 * MIB..=256 * MIB).contains(&resident), "{resident}");
    drop(load);
    let Watched { home, receiver } = watched;
    home.msb(["down"]).exits(0);
    drop(receiver);
    nothing_lives(&home);
    reversed(&home);
}

fn holds_memory(watched: &Watched, before: &Exported) {
    watched.sh("dd if=/dev/zero of=/scratch/held bs=1M count=64 2>/dev/null");
    let after = watched.sample();
    grew([before, &after], "memory.usage", 64 * MIB, 15);
    grew([&after, before], "memory.available", 64 * MIB, 15);
    watched.sh("rm /scratch/held");
}

fn writes_its_disk(watched: &Watched) {
    let before = watched.sample();
    watched.sh("dd if=/dev/zero of=/big bs=1M count=100 conv=fsync 2>/dev/null");
    let after = watched.sample();
    grew([&before, &after], "disk.bytes_written", 100 * MIB, 5);
    grew([&before, &after], "upper.usage", 100 * MIB, 5);
}

fn shares_files(watched: &Watched) {
    let folder = watched.home.project().join("work");
    let given = fs::File::create(folder.join("given")).unwrap();
    io::copy(&mut io::repeat(7).take(30 * MIB), &mut &given).unwrap();
    let before = watched.sample();
    watched.sh("dd if=/dev/zero of=/work/made bs=1M count=50 conv=fsync 2>/dev/null");
    watched.sh("cat /work/given | wc -c");
    let after = watched.sample();
    grew([&before, &after], "disk.bytes_written", 50 * MIB, 5);
    grew([&before, &after], "disk.bytes_read", 30 * MIB, 5);
    assert_eq!(fs::metadata(folder.join("made")).unwrap().len(), 50 * MIB);
}

/// Sends as much to the guest as it takes from it.
fn speaks(watched: &Watched) {
    let before = watched.sample();
    let ports = watched.home.sandbox("box")["ports"].clone();
    let port = |guest: u16| {
        let mut rows = ports.as_array().unwrap().iter();
        let row = rows.find(|row| row["guest"] == guest).unwrap();
        u16::try_from(row["host"].as_u64().unwrap()).unwrap()
    };
    let mut to = TcpStream::connect(("127.0.0.1", port(80))).unwrap();
    io::copy(&mut io::repeat(1).take(NET_BYTES), &mut to).unwrap();
    to.shutdown(Shutdown::Write).unwrap();
    let mut end = Vec::new();
    to.read_to_end(&mut end).unwrap();
    to.flush().unwrap();
    let mut from = TcpStream::connect(("127.0.0.1", port(81))).unwrap();
    from.set_read_timeout(Some(LIMIT)).unwrap();
    let taken = io::copy(&mut from, &mut io::sink()).unwrap();
    assert_eq!(taken, NET_BYTES);
    let after = watched.sample();
    grew([&before, &after], "network.bytes_received", NET_BYTES, 5);
    grew([&before, &after], "network.bytes_sent", NET_BYTES, 5);
}

/// Burns the guest's processor, longer than anybody looks.
const BURN: &str = "ulimit -t 100; while :; do :; done";

/// How long it is looked at.
const BURNS: Duration = Duration::from_secs(10);

/// A guest's clock goes on while its processor waits for one of the host: what the guest calls busy is
/// what its thread ran and what it waited to run. How the host divided that is the host's to tell, and
/// on a quiet one the second is nothing.
fn burns(watched: &Watched) {
    let home = &watched.home;
    let burning = home.start(["exec", "box", "--", "sh", "-c", BURN]);
    let busy = || busy(&watched.sh("head -n 1 /proc/stat"));
    eventually("it burns", LIMIT, || {
        let (then, now) = (busy(), busy());
        (now[0] > then[0]).then_some(())
    });
    let (before, busy_before, threads_before) = (watched.sample(), busy(), threads(home));
    pause(BURNS);
    let (after, busy_after, threads_after) = (watched.sample(), busy(), threads(home));
    burning.signal(Signal::KILL);

    let [busy, all] = [0, 1].map(|at| (busy_after[at] - busy_before[at]) as f64);
    let grown = threads_after.iter().map(|(id, now)| {
        let then = threads_before.iter().find(|(known, _)| known == id);
        let then = then.map_or([0; 2], |(_, then)| *then);
        [now[0] - then[0], now[1] - then[1]]
    });
    let [ran, waited] = grown.max().expect("a machine has threads").map(|ns| ns as f64);
    let told = (after.real("cpu.time") - before.real("cpu.time")) * 1000.0;
    let passed = after.time() - before.time();
    let expected = passed * busy / all * ran / (ran + waited);
    println!(
        "processor: {told:.0} ms of {passed:.0}; the guest was busy {busy} of {all} ticks, and its \
         processor ran {ran:.1e} ns and waited {waited:.1e}: {expected:.0} ms"
    );
    assert!(busy >= all * 0.9, "the guest was busy {busy} of {all}");
    assert!((told - expected).abs() <= passed / 20.0, "{told} ms, not {expected}");
    let share = after.real("cpu.utilization");
    assert!((share - told / passed).abs() <= 0.05, "{share} is not {told} of {passed}");
}

/// Returns how many ticks a line of `/proc/stat` calls busy, and how many there were.
fn busy(line: &str) -> [u64; 2] {
    let fields = line.split_ascii_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap());
    let fields: Vec<u64> = fields.take(8).collect();
    let all = fields.iter().sum::<u64>();
    // But for idle and waiting for disks.
    [all - fields[3] - fields[4], all]
}

/// Returns how long each thread of the VMM ran and waited to run.
fn threads(home: &Home) -> Vec<(String, [u64; 2])> {
    let vmm = tests::machines::of(home).remove(0).record.unwrap().vmm.unwrap().pid;
    let threads = fs::read_dir(format!("/proc/{vmm}/task")).unwrap().flatten();
    let times = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let mut fields = text.split_ascii_whitespace().map(|field| field.parse().unwrap());
        let id = thread.file_name().to_string_lossy().into_owned();
        Some((id, [fields.next()?, fields.next()?]))
    });
    times.collect()
}

#[test]
fn rt_11_2_a_machine_that_was_killed_is_gone_at_once() {
    let home = Home::machine();
    let plain = BOX.replace("mount \"/work\" { dir \"./work\" ensure=\"ensure\" }", "");
    home.write("Sandboxfile", &plain);
    home.msb(["up"]).exits(0);
    home.msb(["metrics", "box"]).exits(0).says(&[" / 256 MiB"]);
    let runtime = home.alive().into_iter().find(|it| it.command.contains("msb-runtime")).unwrap();
    runtime.kill();
    eventually("it is not listed", LIMIT, || {
        let rows = home.msb(["metrics", "--all", "--json"]).exits(0).json();
        rows.as_array().unwrap().is_empty().then_some(())
    });
    home.msb(["metrics", "box"]).exits(1).complains(&["metrics::not-running"]);
    home.msb(["down"]).exits(0);
    reversed(&home);
}
