//! What can be counted of a machine of libkrun: the threads that are its processors.
//!
//! The library counts nothing itself; disks and memory are told by the agent.

use tokio::sync::{mpsc, oneshot};

use crate::hypervisor::{CounterLine, Counters, threads};

/// How the library calls the threads of processors, before their numbers.
const THREAD: &str = "fc_vcpu ";

/// Questions that wait to be answered.
const QUESTIONS_MAX: usize = 4;

/// Answers for the process `pid`, in a task of its own, for as long as somebody may ask.
pub(super) fn count(pid: u32) -> CounterLine {
    let (ask, mut asked) = mpsc::channel::<oneshot::Sender<Counters>>(QUESTIONS_MAX);
    tokio::spawn(async move {
        while let Some(question) = asked.recv().await {
            let counters =
                Counters { vcpu_threads: threads::named(pid, THREAD), ..Counters::default() };
            // Who does not wait any more has no use for it.
            question.send(counters).ok();
        }
    });
    CounterLine { ask, tells_disks: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_threads_of_processors_are_found_by_their_names() {
        let pid = std::process::id();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let vcpu = std::thread::Builder::new().name("fc_vcpu 0".into());
        let vcpu = vcpu.spawn(move || (rustix::thread::gettid(), wait.recv().ok()).0).unwrap();
        let line = count(pid);
        let found = loop {
            let (question, answer) = oneshot::channel();
            line.ask.send(question).await.unwrap();
            let counters = answer.await.unwrap();
            assert_eq!((counters.disks, counters.memory), (None, None));
            // A thread names itself.
            if !counters.vcpu_threads.is_empty() {
                break counters.vcpu_threads;
            }
            tokio::task::yield_now().await;
        };
        drop(end);
        let tid = vcpu.join().unwrap().as_raw_nonzero().get().unsigned_abs();
        assert_eq!(found, [tid]);
    }
}
