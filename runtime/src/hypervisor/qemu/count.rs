//! What QEMU is asked for figures, one command after the other, and what its answers say.
//!
//! ```text
//! idle ─ begin ─▶ query-cpus-fast (once) ─▶ qom-set (once) ─▶ query-blockstats ─▶ qom-get ─▶ idle
//! ```
//!
//! The guest tells of its memory by itself only while somebody asks: the first question turns that
//! on, [`Count::rest`] turns it off. A command that is refused leaves its figures out.

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::hypervisor::{Counters, MemoryCounters, Moved, threads};

/// Where QEMU has the device that the guest's kernel tells of its memory through.
const BALLOON: &str = "/machine/peripheral/balloon";

/// How often the guest tells, in seconds, while somebody asks.
const POLL_SECONDS: u32 = 1;

/// How QEMU says that the guest did not tell a figure.
const UNTOLD: u64 = u64::MAX;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Threads,
    Poll(u32),
    Disks,
    Memory,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Its process.
    pid: u32,
    /// What is asked next, last first.
    left: Vec<Step>,
    /// What was asked and not answered yet.
    open: Option<Step>,
    /// Who wants to know.
    question: Option<oneshot::Sender<Counters>>,
    counters: Counters,
    is_polled: bool,
}

impl Count {
    /// Counts for a process of QEMU.
    pub(super) fn of(pid: u32) -> Self {
        Self { pid, ..Self::default() }
    }

    /// Tells whether another question may begin.
    pub(super) const fn is_idle(&self) -> bool {
        self.open.is_none()
    }

    /// Tells whether the guest tells of its memory by itself.
    pub(super) const fn is_polled(&self) -> bool {
        self.is_polled
    }

    /// Begins to answer.
    pub(super) fn begin(&mut self, question: oneshot::Sender<Counters>) {
        self.left = vec![Step::Memory, Step::Disks];
        if !self.is_polled {
            self.is_polled = true;
            self.left.push(Step::Poll(POLL_SECONDS));
        }
        if self.counters.vcpu_threads.is_empty() {
            self.left.push(Step::Threads);
        }
        self.question = Some(question);
    }

    /// Leaves the guest alone.
    pub(super) fn rest(&mut self) {
        self.is_polled = false;
        self.left = vec![Step::Poll(0)];
    }

    /// Returns what is to be asked now; where nothing is, whoever wanted to know is told.
    pub(super) fn next(&mut self) -> Option<(&'static str, Value)> {
        self.open = self.left.pop();
        let Some(step) = self.open else {
            if let Some(question) = self.question.take() {
                // Whoever asked may be gone.
                question.send(self.counters.clone()).ok();
            }
            return None;
        };
        Some(match step {
            Step::Threads => ("query-cpus-fast", Value::Null),
            Step::Disks => ("query-blockstats", Value::Null),
            Step::Memory => ("qom-get", json!({ "path": BALLOON, "property": "guest-stats" })),
            Step::Poll(seconds) => {
                let property = "guest-stats-polling-interval";
                ("qom-set", json!({ "path": BALLOON, "property": property, "value": seconds }))
            }
        })
    }

    /// Takes the answer to what was asked; null where it was refused.
    pub(super) fn hear(&mut self, answer: &Value) {
        match self.open.take() {
            // It knows its threads by the numbers that they have in its jail.
            Some(Step::Threads) => {
                self.counters.vcpu_threads = threads::numbered(self.pid, &numbers(answer));
            }
            Some(Step::Disks) => self.counters.disks = disks(answer),
            Some(Step::Memory) => self.counters.memory = memory(answer),
            Some(Step::Poll(_)) | None => {}
        }
    }
}

/// Returns the numbers of the threads that are processors.
fn numbers(answer: &Value) -> Vec<u32> {
    let threads = answer.as_array().into_iter().flatten();
    let numbers = threads.filter_map(|cpu| cpu.get("thread-id")?.as_u64());
    numbers.filter_map(|number| u32::try_from(number).ok()).collect()
}

/// Adds up what went through the disks that the guest has, not what lies below them.
fn disks(answer: &Value) -> Option<Moved> {
    let mut sums = Moved::default();
    for disk in answer.as_array()? {
        let stats = disk.get("stats")?;
        let figure = |name: &str| stats.get(name).and_then(Value::as_u64);
        for (sum, name) in [
            (&mut sums.read_bytes, "rd_bytes"),
            (&mut sums.read_ops, "rd_operations"),
            (&mut sums.write_bytes, "wr_bytes"),
            (&mut sums.write_ops, "wr_operations"),
        ] {
            *sum = sum.saturating_add(figure(name)?);
        }
    }
    Some(sums)
}

fn memory(answer: &Value) -> Option<MemoryCounters> {
    let at = answer.get("last-update")?.as_u64().filter(|at| *at > 0)?;
    let stats = answer.get("stats")?;
    let figure = |name: &str| stats.get(name)?.as_u64().filter(|figure| *figure != UNTOLD);
    let total_bytes = figure("stat-total-memory")?;
    let available_bytes = figure("stat-available-memory")?;
    Some(MemoryCounters { total_bytes, available_bytes, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of this thread.
    fn own() -> u32 {
        rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
    }

    fn disk(read: u64, written: u64) -> Value {
        json!({ "qdev": "/machine/peripheral-anon/device[3]/virtio-backend", "stats": {
            "rd_bytes": read, "wr_bytes": written, "rd_operations": 2, "wr_operations": 3,
            "flush_operations": 9 } })
    }

    /// Answers every command with what `answer` says, and returns the commands.
    fn asked(count: &mut Count, answer: impl Fn(&str) -> Value) -> Vec<&'static str> {
        let mut commands = Vec::new();
        while let Some((command, _)) = count.next() {
            assert!(!count.is_idle());
            commands.push(command);
            count.hear(&answer(command));
        }
        commands
    }

    fn qemu(command: &str) -> Value {
        match command {
            "query-cpus-fast" => {
                json!([{ "cpu-index": 0, "thread-id": own() }, { "thread-id": 0 }])
            }
            "query-blockstats" => json!([disk(10, 100), disk(20, 200)]),
            "qom-get" => json!({ "last-update": 7, "stats": {
                "stat-total-memory": 900, "stat-available-memory": 600, "stat-swap-in": UNTOLD } }),
            _ => json!({}),
        }
    }

    #[test]
    fn rt_2_14_threads_are_asked_for_once_and_the_balloon_only_while_somebody_asks() {
        let mut count = Count::of(std::process::id());
        let (question, mut answer) = oneshot::channel();
        count.begin(question);
        let first = asked(&mut count, qemu);
        assert_eq!(first, ["query-cpus-fast", "qom-set", "query-blockstats", "qom-get"]);
        let told = answer.try_recv().unwrap();
        assert_eq!(told.vcpu_threads, [own()]);
        let disks = Moved { read_bytes: 30, read_ops: 4, write_bytes: 300, write_ops: 6 };
        assert_eq!(told.disks, Some(disks));
        let memory = MemoryCounters { total_bytes: 900, available_bytes: 600, at: 7 };
        assert_eq!(told.memory, Some(memory));
        let (question, _again) = oneshot::channel();
        count.begin(question);
        assert_eq!(asked(&mut count, qemu), ["query-blockstats", "qom-get"]);
        assert!(count.is_polled());
        count.rest();
        assert_eq!(count.next().unwrap().1["value"], 0);
        assert!(!count.is_polled());
    }

    #[test]
    fn what_is_refused_or_strange_leaves_its_figures_out() {
        for strange in [json!(null), json!([{}]), json!({ "stats": 1, "last-update": "x" })] {
            let mut count = Count::default();
            let (question, mut answer) = oneshot::channel();
            count.begin(question);
            asked(&mut count, |_| strange.clone());
            assert_eq!(answer.try_recv().unwrap(), Counters::default(), "{strange}");
        }
        assert_eq!(memory(&json!({ "last-update": 0, "stats": {} })), None);
        let untold = json!({ "last-update": 5,
            "stats": { "stat-total-memory": 9, "stat-available-memory": UNTOLD } });
        assert_eq!(memory(&untold), None);
    }
}
