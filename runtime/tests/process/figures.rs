//! Samples of a machine that is none: taken when asked for, of the agent's children.

use std::time::Duration;

use schema::control::{Answer, Call, Milestone, Reply, Update};
use schema::figures::{Measuring, Sample, Source};
use schema::launch::LaunchRecord;

use crate::SLEEP;
use crate::house::{Control, House, launch};

/// Burns about a second of processor time, writes down how much the kernel says it was, and rests.
const BURNS: &str = "sh -c 'ulimit -t 1; while :; do :; done' 2>/dev/null; \
                     times > \"$MSB_ROOT/burnt\"; exec sleep 1000";

/// As long as a sample is good for in these tests.
const INTERVAL_MS: u64 = 200;

fn measured(argv: &[&str]) -> LaunchRecord {
    let mut record = launch(Some(argv));
    record.metrics = Measuring { enabled: true, interval_ms: INTERVAL_MS };
    record
}

fn sample(control: &mut Control) -> Sample {
    match control.call(Call::Sample { max_age_ms: 0 }) {
        Answer::Ok { result: Reply::Sample { sample }, .. } => *sample,
        other => panic!("{other:?}"),
    }
}

/// Returns what the workload's shell was told that it and its children used, once it was.
fn burnt_ns(house: &House) -> Option<u64> {
    let text = std::fs::read_to_string(house.folder.join("root/burnt")).ok()?;
    let time = |word: &str| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        let seconds = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
        let minutes = Duration::from_secs(minutes.parse::<u64>().ok()? * 60);
        u64::try_from((minutes + seconds).as_nanos()).ok()
    };
    let times: Vec<u64> = text.split_ascii_whitespace().filter_map(time).collect();
    // Of the shell and of its children, each in its own code and in the kernel.
    (times.len() == 4).then(|| times.iter().sum())
}

fn rest(time: Duration) {
    std::thread::park_timeout(time);
}

#[test]
fn rt_11_3_processor_time_is_what_the_children_used() {
    let house = House::serving(&measured(&["sh", "-c", BURNS]));
    assert!(house.wait(Milestone::Ready));
    let mut control = house.control();
    let ns = |sample: &Sample| sample.vcpu_time_ns.unwrap();
    let (mut last, mut most) = (sample(&mut control), 0.0_f64);
    loop {
        rest(Duration::from_millis(INTERVAL_MS + 50));
        let next = sample(&mut control);
        assert!(ns(&next) >= ns(&last) && next.uptime_ms > last.uptime_ms, "{last:?} {next:?}");
        most = most.max(next.cpu_percent.unwrap());
        last = next;
        // It rests, and nothing more comes.
        if burnt_ns(&house).is_some() && last.cpu_percent < Some(1.0) {
            break;
        }
    }
    let burnt = burnt_ns(&house).unwrap();
    assert!(burnt > 300_000_000, "nothing was burnt: {burnt}");
    // Both are counted in hundredths of a second, each process by itself.
    assert!(ns(&last).abs_diff(burnt) <= burnt / 20 + 40_000_000, "{burnt}: {last:?}");
    assert!((10.0..=110.0).contains(&most), "{most}");
    assert!(last.memory_bytes.unwrap() > 100_000 && last.memory_limit_bytes == Some(1 << 28));
    assert_eq!((last.net_rx_bytes, last.disk_read_bytes), (None, None));
    assert_eq!((last.boot, last.restarts, last.upper_used_bytes.is_some()), (1, 0, true));
    assert_eq!(last.source["vcpu_time_ns"], Source::Vmm);
    assert_eq!(last.source["upper_used_bytes"], Source::Runtime);
}

#[test]
fn rt_11_1_one_sample_serves_all_who_ask_while_it_is_fresh() {
    let mut record = measured(SLEEP);
    record.metrics.interval_ms = 60_000;
    let house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    let mut controls: Vec<Control> = (0..20).map(|_| house.control()).collect();
    for control in &mut controls {
        control.ask(Call::Sample { max_age_ms: 0 });
    }
    let mut times: Vec<u64> = controls.iter_mut().map(told_at).collect();
    times.dedup();
    assert_eq!(times.len(), 1, "{times:?}");

    // A machine is told live how long one is good for; whoever asks may be content with less.
    let metrics = Some(Measuring { enabled: true, interval_ms: INTERVAL_MS });
    let mut control = house.control();
    control.call(Call::Update(Update { metrics, ..Update::default() }));
    rest(Duration::from_millis(INTERVAL_MS));
    let old = control.call(Call::Sample { max_age_ms: 60_000 });
    let Answer::Ok { result: Reply::Sample { sample: old }, .. } = old else { panic!("{old:?}") };
    assert_eq!(old.sampled_at_ms, times[0]);
    assert!(sample(&mut control).sampled_at_ms > times[0]);
}

fn told_at(control: &mut Control) -> u64 {
    match control.answer() {
        Some(Answer::Ok { result: Reply::Sample { sample }, .. }) => sample.sampled_at_ms,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rt_11_2_a_machine_that_is_not_measured_says_so_until_it_is() {
    let mut record = measured(SLEEP);
    record.metrics.enabled = false;
    let house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    let mut control = house.control();
    let Answer::Error { error, .. } = control.call(Call::Sample { max_age_ms: 0 }) else {
        panic!("it was measured");
    };
    assert_eq!(error.code, "msb::metrics::off");
    let metrics = Some(Measuring { enabled: true, interval_ms: INTERVAL_MS });
    let told = control.call(Call::Update(Update { metrics, ..Update::default() }));
    let Answer::Ok { result: Reply::Updated { applied, .. }, .. } = told else {
        panic!("{told:?}")
    };
    assert_eq!(applied, ["metrics"]);
    assert!(sample(&mut control).vcpu_time_ns.is_some());
}

#[test]
fn every_start_of_a_machine_is_a_boot_of_its_own() {
    let mut house = House::serving(&measured(SLEEP));
    assert!(house.wait(Milestone::Ready));
    assert_eq!(sample(&mut house.control()).boot, 1);
    let folder = house.folder.clone();
    house.stop();
    let mut again = House::start_in(folder, &measured(SLEEP), &[]);
    again.word();
    again.word();
    assert!(again.wait(Milestone::Ready));
    let second = sample(&mut again.control());
    assert_eq!((second.boot, second.uptime_ms < 60_000), (2, true));
    assert!(second.vcpu_time_ns < Some(900_000_000), "{second:?}");
}
