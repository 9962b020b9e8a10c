//! Several drivers at once, and when to give up on the better ones.
//!
//! A KVM that works boots a guest in a fraction of the emulator's time. One that is not up long after the
//! emulator is, will not be: so the time of a worse driver is the measure, and a host without KVM waits
//! for nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::verdict::{Contender, Stage, Verdict};
use crate::clock::Clock;

/// What a better driver gets beyond the time of a worse one at least.
const MARGIN_MIN: Duration = Duration::from_secs(1);

/// A proof under way, or what it found.
pub(super) type Proof<'p> = Pin<Box<dyn Future<Output = Verdict> + 'p>>;

struct Run<'p> {
    contender: Contender,
    proof: Option<Proof<'p>>,
    verdict: Option<Verdict>,
}

/// Proves drivers side by side, the one that is liked best first, and returns what is known then in the
/// same order.
///
/// Who is liked less than one that was proved is missing: nobody asks for it then.
pub(super) async fn race<'p>(
    contenders: impl IntoIterator<Item = (Contender, Proof<'p>)>,
    clock: &impl Clock,
) -> Vec<Verdict> {
    let started = clock.now();
    let begin = |(contender, proof)| Run { contender, proof: Some(proof), verdict: None };
    let mut runs: Vec<Run<'_>> = contenders.into_iter().map(begin).collect();
    let mut patience = None;
    while runs.iter().any(|run| run.proof.is_some()) {
        let over = next(&mut runs);
        match patience {
            None => over.await,
            Some((until, took)) => {
                if timeout(left(until, clock), over).await.is_err() {
                    give_up(&mut runs, took);
                    break;
                }
            }
        }
        let proved = |run: &Run<'_>| run.verdict.as_ref().is_some_and(|verdict| verdict.ok);
        if let Some(best) = runs.iter().position(proved) {
            runs.truncate(best + 1);
            let took = clock.now() - started;
            patience.get_or_insert_with(|| (started + took + margin(took), took));
        }
    }
    runs.into_iter().filter_map(|run| run.verdict).collect()
}

/// Waits until one of the proofs is over.
async fn next(runs: &mut [Run<'_>]) {
    poll_fn(|context| {
        for run in runs.iter_mut() {
            let Some(proof) = &mut run.proof else { continue };
            if let Poll::Ready(verdict) = proof.as_mut().poll(context) {
                (run.proof, run.verdict) = (None, Some(verdict));
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

fn left(until: Instant, clock: &impl Clock) -> Duration {
    until.saturating_duration_since(clock.now())
}

/// Ends those that are not over, where another took so long.
fn give_up(runs: &mut [Run<'_>], took: Duration) {
    for run in runs.iter_mut().filter(|run| run.proof.is_some()) {
        // Dropping a proof ends its guest.
        (run.proof, run.verdict) = (None, Some(too_slow(run.contender, took)));
    }
}

/// Returns how long the better ones are waited for, once a worse one has booted in `took`.
fn margin(took: Duration) -> Duration {
    took.max(MARGIN_MIN)
}

fn too_slow(contender: Contender, took: Duration) -> Verdict {
    let (took, waited) = (took.as_millis(), (took + margin(took)).as_millis());
    let reason = format!("no guest after {waited} ms, where another driver needed {took} ms");
    Verdict::failed(contender, Stage::Boot, reason).hint(contender.hint())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::HostClock;

    const KRUN: Contender = Contender::KRUN;
    const KVM: Contender = Contender::QEMU_KVM;
    const TCG: Contender = Contender::QEMU_TCG;

    /// A proof that is over after so long.
    fn proof<'p>(contender: Contender, ms: u64, ok: bool) -> (Contender, Proof<'p>) {
        let verdict = match ok {
            true => Verdict::proved(contender, ms, ms),
            false => Verdict::failed(contender, Stage::Boot, "no"),
        };
        let run = async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            verdict
        };
        (contender, Box::pin(run))
    }

    #[test]
    fn a_host_whose_kvm_hangs_is_judged_within_five_seconds() {
        let took = Duration::from_millis(2_400);
        assert!(took + margin(took) < Duration::from_secs(5));
        assert_eq!(margin(Duration::from_millis(300)), MARGIN_MIN);
    }

    #[tokio::test]
    async fn the_best_that_was_proved_ends_the_race_and_the_others_are_not_waited_for() {
        const NEVER: u64 = 3_600_000;
        let of = |verdicts: Vec<Verdict>| -> Vec<(Contender, bool)> {
            verdicts.iter().map(|verdict| (verdict.contender(), verdict.ok)).collect()
        };
        let best = [proof(KRUN, 1, true), proof(KVM, NEVER, true), proof(TCG, NEVER, true)];
        assert_eq!(of(race(best, &HostClock).await), [(KRUN, true)]);
        let second = [proof(KRUN, 30, false), proof(KVM, 1, true), proof(TCG, NEVER, true)];
        assert_eq!(of(race(second, &HostClock).await), [(KRUN, false), (KVM, true)]);
        let later = [proof(KRUN, 30, true), proof(KVM, 1, true)];
        assert_eq!(of(race(later, &HostClock).await), [(KRUN, true)], "it was in time");
        let none = [proof(KRUN, 1, false), proof(KVM, 2, false), proof(TCG, 3, false)];
        assert_eq!(of(race(none, &HostClock).await), [(KRUN, false), (KVM, false), (TCG, false)]);
    }

    #[tokio::test]
    async fn one_that_hangs_is_given_up_and_says_how_long_it_had() {
        let hung = (KRUN, Box::pin(std::future::pending()) as Proof<'_>);
        let verdicts = race([hung, proof(TCG, 1, true)], &HostClock).await;
        let [given_up, proved] = &verdicts[..] else { panic!("{verdicts:?}") };
        assert!(proved.ok && !given_up.ok);
        assert!(given_up.reason.as_ref().unwrap().contains("where another driver needed"));
    }
}
