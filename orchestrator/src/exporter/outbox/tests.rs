//! What the outbox does with what it is told, as sequences.

use prost::Message as _;

use super::*;
use crate::exporter::figures_of_tests::point;
use crate::exporter::messages::{Data, ExportMetrics, Metric};

const FLUSH: Duration = Duration::from_secs(10);

/// An outbox with a clock of its own.
struct Case {
    outbox: Outbox,
    now: Duration,
    notes: Vec<Note>,
}

impl Case {
    fn new(buffered_max: usize) -> Self {
        Self { outbox: Outbox::new(buffered_max, FLUSH, 0), now: Duration::ZERO, notes: Vec::new() }
    }

    /// Adds collections of one machine, taken at these moments.
    fn collect(&mut self, moments: std::ops::RangeInclusive<u64>) {
        moments.for_each(|at| self.outbox.push(Collection::new(vec![point(at)])));
    }

    /// Sends the next request when it is due; returns when that was, and what it told.
    fn send(&mut self, verdict: Verdict) -> (u64, Vec<u64>) {
        self.now = self.now.max(self.outbox.due().unwrap());
        let told = moments(self.outbox.next(0));
        assert_eq!(self.outbox.due(), None, "one request at a time");
        self.notes.extend(self.outbox.came(verdict, self.now, 77));
        (self.now.as_secs(), told)
    }
}

/// Returns the sample times that a request tells, in milliseconds; none for the exporter's own.
fn moments(body: Bytes) -> Vec<u64> {
    let request = ExportMetrics::decode(body).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let memory = metrics.iter().map(|bytes| Metric::decode(bytes.clone()).unwrap());
    let memory = memory.filter(|metric| metric.name == "microsandbox.memory.usage");
    let points = memory.flat_map(|metric| match metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points,
        Some(Data::Sum(_)) | None => Vec::new(),
    });
    points.map(|point| point.time_unix_nano / 1_000_000).collect()
}

fn again() -> Verdict {
    Verdict::again("connection refused")
}

fn refused() -> Verdict {
    Verdict::Refused { why: "it answered 401".into() }
}

#[test]
fn rt_11_7_each_collection_is_a_request_of_its_own_and_acknowledged_by_itself() {
    let mut case = Case::new(60);
    case.collect(1..=3);
    assert_eq!(case.send(Verdict::Taken), (10, vec![1]));
    assert_eq!(case.send(Verdict::Taken), (10, vec![2]));
    assert_eq!(case.send(Verdict::Taken), (10, vec![3]));
    assert_eq!(case.send(Verdict::Taken), (10, vec![]), "then what the exporter says of itself");
    case.collect(4..=4);
    assert_eq!(case.send(Verdict::Taken), (20, vec![4]));
    let own = case.outbox.own();
    assert_eq!((own.successes, own.failures, own.last_success_ms), (5, 0, Some(77)));
    assert_eq!(case.notes, []);
}

#[test]
fn rt_11_7_after_an_error_the_first_that_was_not_acknowledged_is_sent_again() {
    let mut case = Case::new(60);
    case.collect(1..=3);
    assert_eq!(case.send(Verdict::Taken), (10, vec![1]));
    assert_eq!(case.send(again()), (10, vec![2]));
    assert_eq!(case.send(again()), (20, vec![2]));
    assert_eq!(
        case.send(Verdict::Taken),
        (40, vec![2]),
        "the acknowledged one is never sent again"
    );
    assert_eq!(case.send(Verdict::Taken), (40, vec![3]));
}

#[test]
fn the_wait_after_an_error_doubles_five_times_and_begins_anew_after_a_success() {
    let mut case = Case::new(60);
    case.collect(1..=1);
    let times: Vec<u64> = (0..9).map(|_| case.send(again()).0).collect();
    let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 320, 320]);
    case.send(Verdict::Taken);
    case.send(Verdict::Taken);
    let (first, _) = case.send(again());
    assert_eq!(case.send(again()).0 - first, 10);
}

#[test]
fn a_receiver_that_asks_for_time_is_left_alone_for_it() {
    for (asked, want) in [(3, 10), (45, 45)] {
        let mut case = Case::new(60);
        case.collect(1..=1);
        let after = Some(Duration::from_secs(asked));
        let (first, _) = case.send(Verdict::Again { why: String::new(), after });
        assert_eq!(case.send(Verdict::Taken).0 - first, want);
    }
}

#[test]
fn what_a_receiver_refuses_is_dropped_and_counted_and_the_next_is_sent() {
    let mut case = Case::new(60);
    case.collect(1..=3);
    assert_eq!(case.send(refused()), (10, vec![1]));
    assert_eq!(case.send(refused()), (10, vec![2]));
    assert_eq!(case.send(Verdict::Taken), (10, vec![3]));
    let own = case.outbox.own();
    assert_eq!((own.dropped, own.failures, own.successes), (2, 2, 1));
}

#[test]
fn rt_11_7_a_dead_receiver_costs_the_oldest_and_each_is_counted() {
    let mut case = Case::new(3);
    case.collect(1..=2);
    assert_eq!(case.send(again()), (10, vec![1]));
    case.collect(3..=7);
    assert_eq!((case.outbox.waiting(), case.outbox.own().dropped), (3, 4));
    assert_eq!(case.send(Verdict::Taken), (20, vec![5]));
}

#[test]
fn rt_11_7_rejected_points_are_counted_and_not_sent_again() {
    let mut case = Case::new(60);
    case.collect(1..=2);
    let part = Verdict::Partly { rejected: 3, why: "too old".into() };
    assert_eq!(case.send(part), (10, vec![1]));
    assert_eq!(case.send(Verdict::Taken), (10, vec![2]));
    assert_eq!((case.outbox.own().rejected, case.outbox.own().dropped), (3, 0));
}

#[test]
fn a_failing_receiver_is_one_warning_for_each_change() {
    let mut case = Case::new(2);
    case.collect(1..=1);
    for _ in 0..4 {
        case.send(again());
    }
    assert_eq!(case.notes.len(), 1, "{:?}", case.notes);
    case.collect(2..=4);
    for _ in 0..3 {
        case.send(Verdict::Taken);
    }
    let lost = "the receiver takes figures again; 2 collections were dropped";
    assert_eq!(case.notes.split_off(1), [Note::Good(lost.into())]);
    case.notes.clear();
    // One of many is not wanted, flush after flush.
    for round in 0..3 {
        case.collect(round * 2 + 10..=round * 2 + 11);
        case.send(Verdict::Partly { rejected: 1, why: "no".into() });
        case.send(Verdict::Taken);
        case.send(Verdict::Taken);
    }
    assert_eq!(case.notes.len(), 1, "{:?}", case.notes);
    case.send(refused());
    case.send(Verdict::Taken);
    assert_eq!(case.notes.len(), 3, "{:?}", case.notes);
    let well = "the receiver takes figures again; nothing was lost";
    assert_eq!(case.notes[2], Note::Good(well.into()));
}

#[test]
fn a_receiver_is_looked_after_where_no_machine_runs() {
    let mut case = Case::new(60);
    assert_eq!(case.send(again()), (10, vec![]));
    assert_eq!(case.send(Verdict::Taken), (20, vec![]));
    assert_eq!(case.send(Verdict::Taken), (30, vec![]));
    assert_eq!(case.notes.len(), 2);
}
