//! What a machine says it used, against what is known that it did: by the guest itself, and by whoever
//! made it do it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::home::{Home, driver};
use tests::oracle::{nothing_lives, reversed};
use tests::otlp::Receiver;
use tests::run::{bare, eventually, pause};
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

/// Who is asked what a machine used.
#[derive(Clone, Copy)]
struct Asked<'a> {
    home: &'a Home,
    /// What a receiver was sent tells it; else `msb metrics` does.
    receiver: Option<&'a Receiver>,
}

/// The series that tell the figures of `msb metrics`, and how many of its units their unit is.
const SERIES: [(&str, &str, f64); 8] = [
    ("vcpu_time_ns", "cpu.time", 1e9),
    ("memory_bytes", "memory.usage", 1.0),
    ("memory_available_bytes", "memory.available", 1.0),
    ("disk_read_bytes", "disk.bytes_read", 1.0),
    ("disk_write_bytes", "disk.bytes_written", 1.0),
    ("net_rx_bytes", "network.bytes_received", 1.0),
    ("net_tx_bytes", "network.bytes_sent", 1.0),
    ("upper_used_bytes", "upper.usage", 1.0),
];

/// Returns what the sandbox says, taken after now.
fn sample(asked: Asked<'_>) -> Value {
    pause(BEHIND);
    match asked.receiver {
        Some(receiver) => exported(asked.home, receiver),
        // What a VMM does not tell in time is left out; the next sample has it.
        None => eventually("a whole sample", LIMIT, || {
            let told = asked.home.msb(["metrics", "box", "--json"]).exits(0).json()[0].clone();
            let is_told = |field: &&str| !told[*field].is_null();
            let all = ["vcpu_time_ns", "disk_write_bytes", "memory_host_resident_bytes"];
            all.iter().all(is_told).then_some(told)
        }),
    }
}

/// Returns what a receiver is sent now, by the names of `msb metrics`.
fn exported(home: &Home, receiver: &Receiver) -> Value {
    let before = receiver.requests().len();
    let endpoint = format!("http://127.0.0.1:{}", receiver.grpc);
    home.exporter(&["--once", "otel", "--endpoint", &endpoint]).wait(LIMIT).exits(0);
    let requests = receiver.requests().split_off(before);
    let points: Vec<Value> = requests.iter().flat_map(tests::otlp::points).collect();
    let mut told = serde_json::Map::new();
    for (field, series, units) in SERIES {
        let name = format!("microsandbox.{series}");
        let of_it = points.iter().filter(|point| point["name"] == name).collect::<Vec<_>>();
        let [point] = of_it[..] else { panic!("{name} is one series: {of_it:?}") };
        let value = point["value"].as_f64().expect("a number") * units;
        let value: u64 = format!("{value:.0}").parse().expect("a whole number");
        told.insert(field.to_owned(), json!(value));
        if field == "vcpu_time_ns" {
            told.insert("time_ns".to_owned(), point["time"].clone());
        }
    }
    Value::Object(told)
}

fn figure(sample: &Value, field: &str) -> u64 {
    sample[field].as_u64().unwrap_or_else(|| panic!("{field} of {sample}"))
}

/// Tells whether a figure grew by so much, from just that to a few percent more.
fn grew(samples: [&Value; 2], field: &str, by: u64, percent: u64) {
    let [before, after] = samples.map(|sample| figure(sample, field));
    let grown = after.checked_sub(before).expect("a figure that only grows");
    let fits: RangeInclusive<u64> = by - by * percent / 100..=by + by * percent / 100;
    println!("{field}: {grown} of {by} bytes");
    assert!(fits.contains(&grown), "{field} grew by {grown}, not {by}: {before} to {after}");
}

fn sh(home: &Home, script: &str) -> String {
    home.msb(["exec", "box", "--", "sh", "-c", script]).exits(0).stdout.clone()
}

#[test]
fn rt_11_3_a_sample_says_what_a_guest_did() {
    let home = Home::machine();
    home.write("Sandboxfile", BOX);
    home.msb(["up"]).exits(0);
    let asked = Asked { home: &home, receiver: None };
    let first = sample(asked);
    // The library tells nothing of its disks, so its guests do.
    let of_disks = if driver().as_deref() == Some("krun") { "agent" } else { "vmm" };
    for (field, source) in [
        ("vcpu_time_ns", "vmm"),
        ("disk_write_bytes", of_disks),
        ("memory_bytes", "agent"),
        ("net_rx_bytes", "runtime"),
        ("upper_used_bytes", "runtime"),
    ] {
        assert_eq!(first["source"][field], source, "{first}");
    }
    assert_eq!((figure(&first, "boot"), figure(&first, "memory_limit_bytes")), (1, 256 * MIB));

    does_much(asked);

    let last = sample(asked);
    let resident = figure(&last, "memory_host_resident_bytes");
    assert!((64 * MIB..=256 * MIB).contains(&resident), "{last}");
    home.msb(["down"]).exits(0);
    nothing_lives(&home);
    reversed(&home);
}

/// Does what is known, and holds what is told of it against that.
fn does_much(asked: Asked<'_>) {
    holds_memory(asked);
    writes_its_disk(asked);
    shares_files(asked);
    speaks(asked);
    burns(asked);
}

/// Whatever else the host does, what a receiver is sent is what the guest did.
#[test]
fn rt_11_3_a_loaded_host_exports_what_a_guest_did() {
    let busy = std::thread::available_parallelism().map_or(2, usize::from);
    exports_what_a_guest_did(busy);
}

#[test]
fn rt_11_3_an_idle_host_exports_what_a_guest_did() {
    exports_what_a_guest_did(0);
}

fn exports_what_a_guest_did(busy_loops: usize) {
    let home = Home::machine();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", BOX);
    home.msb(["up"]).exits(0);
    let load: Vec<Load> = (0..busy_loops).map(|_| Load::begin()).collect();
    does_much(Asked { home: &home, receiver: Some(&receiver) });
    drop((load, receiver));
    home.msb(["down"]).exits(0);
    reversed(&home);
}

/// A process that does nothing but use a processor; it ends with the test.
struct Load(std::process::Child);

impl Load {
    fn begin() -> Self {
        Self(bare("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn holds_memory(asked: Asked<'_>) {
    let (home, before) = (asked.home, &sample(asked));
    sh(home, "dd if=/dev/zero of=/scratch/held bs=1M count=64 2>/dev/null");
    let after = sample(asked);
    grew([before, &after], "memory_bytes", 64 * MIB, 15);
    let fewer = [&after, before];
    grew(fewer, "memory_available_bytes", 64 * MIB, 15);
    sh(home, "rm /scratch/held");
}

fn writes_its_disk(asked: Asked<'_>) {
    let home = asked.home;
    let before = sample(asked);
    sh(home, "dd if=/dev/zero of=/big bs=1M count=100 conv=fsync 2>/dev/null");
    let after = sample(asked);
    grew([&before, &after], "disk_write_bytes", 100 * MIB, 5);
    grew([&before, &after], "upper_used_bytes", 100 * MIB, 5);
}

fn shares_files(asked: Asked<'_>) {
    let home = asked.home;
    let given = fs::File::create(home.project().join("work/given")).unwrap();
    io::copy(&mut io::repeat(7).take(30 * MIB), &mut &given).unwrap();
    let before = sample(asked);
    sh(home, "dd if=/dev/zero of=/work/made bs=1M count=50 conv=fsync 2>/dev/null");
    sh(home, "cat /work/given | wc -c");
    let after = sample(asked);
    grew([&before, &after], "disk_write_bytes", 50 * MIB, 5);
    grew([&before, &after], "disk_read_bytes", 30 * MIB, 5);
    assert_eq!(fs::metadata(home.project().join("work/made")).unwrap().len(), 50 * MIB);
}

/// Sends as much to the guest as it takes from it.
fn speaks(asked: Asked<'_>) {
    let home = asked.home;
    let before = sample(asked);
    let ports = home.sandbox("box")["ports"].clone();
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
    let after = sample(asked);
    grew([&before, &after], "net_rx_bytes", NET_BYTES, 5);
    grew([&before, &after], "net_tx_bytes", NET_BYTES, 5);
}

/// Burns the guest's processor, longer than anybody looks.
const BURN: &str = "ulimit -t 100; while :; do :; done";

/// How long it is looked at.
const BURNS: Duration = Duration::from_secs(10);

/// A guest's clock goes on while its processor waits for one of the host, so the guest cannot tell how
/// much it burned; the host can, of the thread that is its processor.
fn burns(asked: Asked<'_>) {
    let home = asked.home;
    let burning = home.start(["exec", "box", "--", "sh", "-c", BURN]);
    let busy = || busy(&sh(home, "head -n 1 /proc/stat"));
    eventually("it burns", LIMIT, || {
        let (then, now) = (busy(), busy());
        (now[0] > then[0]).then_some(())
    });
    let (before, busy_before, threads_before) = (sample(asked), busy(), threads(home));
    pause(BURNS);
    let (after, busy_after, threads_after) = (sample(asked), busy(), threads(home));
    burning.signal(Signal::KILL);

    let [busy, all] = [0, 1].map(|at| busy_after[at] - busy_before[at]);
    let grown = threads_after.ran.iter().map(|(id, now)| {
        let then = threads_before.ran.iter().find(|(known, _)| known == id);
        (now - then.map_or(0, |(_, then)| *then)) / 1_000_000
    });
    let ran = grown.max().expect("a machine has threads");
    let told = (figure(&after, "vcpu_time_ns") - figure(&before, "vcpu_time_ns")) / 1_000_000;
    let passed = time(&after) - time(&before);
    // The two were not looked at in the same moments.
    let expected = ran * passed / (threads_after.at_ms - threads_before.at_ms);
    println!(
        "processor: {told} ms of {passed}; the guest was busy {busy} of {all} ticks, and its \
         processor ran {ran} ms: {expected} ms"
    );
    assert!(busy * 100 >= all * 90, "the guest was busy {busy} of {all}");
    assert!(told.abs_diff(expected) <= passed / 20, "{told} ms, not {expected}");
    if asked.receiver.is_some() {
        // One look alone exports no share of a processor.
        return;
    }
    let percent = after["cpu_percent"].as_f64().unwrap();
    let told = u32::try_from(told * 1000 / passed).unwrap();
    assert!((percent - f64::from(told) / 10.0).abs() <= 5.0, "{percent} is not {told} / 10");
}

/// Returns how many ticks a line of `/proc/stat` calls busy, and how many there were.
fn busy(line: &str) -> [u64; 2] {
    let fields = line.split_ascii_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap());
    let fields: Vec<u64> = fields.take(8).collect();
    let all = fields.iter().sum::<u64>();
    // But for idle and waiting for disks.
    [all - fields[3] - fields[4], all]
}

/// How long each thread of a VMM ran, in nanoseconds, and when that was.
struct Threads {
    at_ms: u64,
    ran: Vec<(String, u64)>,
}

fn threads(home: &Home) -> Threads {
    let vmm = tests::machines::of(home).remove(0).record.unwrap().vmm.unwrap().pid;
    let threads = fs::read_dir(format!("/proc/{vmm}/task")).unwrap().flatten();
    let times = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let id = thread.file_name().to_string_lossy().into_owned();
        Some((id, text.split_ascii_whitespace().next()?.parse().ok()?))
    });
    let ran = times.collect();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    // Seconds with two digits behind the point.
    let centiseconds = uptime.split(' ').next().unwrap().replace('.', "");
    let at_ms = centiseconds.parse::<u64>().unwrap() * 10;
    Threads { at_ms, ran }
}

fn time(sample: &Value) -> u64 {
    if let Some(ns) = sample["time_ns"].as_u64() {
        return ns / 1_000_000;
    }
    let text = sample["sampled_at"].as_str().unwrap();
    orchestrator::store::time::parse(text).unwrap()
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
