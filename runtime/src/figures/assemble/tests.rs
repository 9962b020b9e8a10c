//! What readings come to.

use super::*;
use crate::clock::{Clock as _, HostClock};

fn moment() -> Moment {
    Moment {
        sampled_at_ms: 10_000,
        started_at_ms: 4_000,
        uptime: Duration::from_secs(6),
        boot: 2,
        restarts: 1,
        memory_limit_bytes: 1 << 30,
    }
}

fn moved(read: u64, written: u64) -> Moved {
    Moved { read_bytes: read, read_ops: 1, write_bytes: written, write_ops: 2 }
}

fn agent(read: u64, written: u64) -> StatsReply {
    StatsReply {
        memory_total_bytes: Some(1000),
        memory_available_bytes: Some(600),
        disk_read_bytes: Some(read),
        disk_write_bytes: Some(written),
        disk_read_ops: Some(3),
        disk_write_ops: Some(4),
    }
}

/// What QEMU and its guest say.
fn emulated() -> Readings {
    Readings {
        agent: Some(agent(7, 7)),
        disks: Some(moved(100, 200)),
        counts_disks: true,
        shares: Some(moved(10, 20)),
        net: Some(Carried { rx_bytes: 5, tx_bytes: 6, denials: 1, ..Carried::default() }),
        upper: Some(4096),
        host_resident: Some(77),
        ..Readings::default()
    }
}

#[test]
fn rt_11_3_every_figure_says_who_told_it() {
    let sample = assemble(&emulated(), moment(), &mut Floors::new());
    assert_eq!((sample.disk_read_bytes, sample.disk_write_bytes), (Some(110), Some(220)));
    assert_eq!((sample.disk_read_ops, sample.disk_write_ops), (Some(2), Some(4)));
    assert_eq!((sample.memory_bytes, sample.memory_available_bytes), (Some(400), Some(600)));
    assert_eq!((sample.boot, sample.restarts, sample.uptime_ms), (2, 1, 6000));
    let told = |field: &str| sample.source.get(field).copied();
    assert_eq!(told("disk_read_bytes"), Some(Source::Vmm));
    assert_eq!(told("memory_bytes"), Some(Source::Agent));
    assert_eq!(told("net_rx_bytes"), Some(Source::Runtime));
    assert_eq!(told("upper_used_bytes"), Some(Source::Runtime));
    assert_eq!(told("memory_host_resident_bytes"), Some(Source::Vmm));
    assert_eq!((told("cpu_percent"), sample.cpu_percent), (None, None));
    let text = serde_json::to_value(&sample).unwrap();
    let fields = text.as_object().unwrap();
    assert!(sample.source.keys().all(|field| fields.contains_key(field)));
}

#[test]
fn rt_11_3_the_guests_own_word_is_taken_before_the_agents_and_both_are_the_guests() {
    let readings = Readings { balloon: Some((2000, 500)), ..emulated() };
    let sample = assemble(&readings, moment(), &mut Floors::new());
    assert_eq!((sample.memory_bytes, sample.memory_available_bytes), (Some(1500), Some(500)));
    assert_eq!(sample.source["memory_bytes"], Source::Agent);
}

#[test]
fn rt_11_1_a_silent_agent_leaves_its_figures_out_and_nothing_else() {
    let sample = assemble(&Readings { agent: None, ..emulated() }, moment(), &mut Floors::new());
    assert_eq!((sample.memory_bytes, sample.memory_available_bytes), (None, None));
    assert_eq!((sample.disk_read_bytes, sample.memory_limit_bytes), (Some(110), Some(1 << 30)));
    assert!(!sample.source.contains_key("memory_bytes"));
}

#[test]
fn a_vmm_that_is_late_leaves_no_half_a_sum() {
    let sample = assemble(&Readings { disks: None, ..emulated() }, moment(), &mut Floors::new());
    assert_eq!((sample.disk_read_bytes, sample.disk_write_ops), (None, None));
    let alone = assemble(&Readings { shares: None, ..emulated() }, moment(), &mut Floors::new());
    assert_eq!(alone.disk_read_bytes, Some(100));
}

#[test]
fn rt_11_3_a_guest_that_says_less_than_before_is_held_and_marked() {
    let of_agent = |read| Readings {
        agent: Some(agent(read, 50)),
        counts_disks: false,
        disks: None,
        shares: None,
        ..emulated()
    };
    let mut floors = Floors::new();
    let first = assemble(&of_agent(100), moment(), &mut floors);
    assert_eq!((first.disk_read_bytes, first.clamped.len()), (Some(100), 0));
    let second = assemble(&of_agent(99), moment(), &mut floors);
    assert_eq!((second.disk_read_bytes, second.disk_write_bytes), (Some(100), Some(50)));
    assert_eq!(second.clamped, ["disk_read_bytes"]);
    let third = assemble(&of_agent(101), moment(), &mut floors);
    assert_eq!((third.disk_read_bytes, third.clamped.len()), (Some(101), 0));
}

#[test]
fn what_grows_is_held_over_a_sample_that_lacked_it() {
    let mut floors = Floors::new();
    assemble(&emulated(), moment(), &mut floors);
    let without = assemble(&Readings { disks: None, ..emulated() }, moment(), &mut floors);
    assert_eq!(without.disk_read_bytes, None);
    let less = Readings { disks: Some(moved(1, 1)), ..emulated() };
    let after = assemble(&less, moment(), &mut floors);
    assert_eq!(after.disk_read_bytes, Some(110), "it shrank where nobody looked");
}

#[test]
fn rt_11_3_one_busy_processor_is_a_hundred_percent() {
    let at = HostClock.now();
    let ran = |ms: u64, ns: u64| Some(Reading { at: at + Duration::from_millis(ms), ns });
    let busy = |before, now| {
        let readings = Readings { vcpu_before: before, vcpu: now, ..Readings::default() };
        assemble(&readings, moment(), &mut Floors::new()).cpu_percent
    };
    assert_eq!(busy(ran(0, 5), ran(200, 200_000_005)), Some(100.0));
    assert_eq!(busy(ran(0, 0), ran(1000, 2_500_000_000)), Some(250.0));
    assert_eq!(busy(ran(0, 0), ran(1000, 125_000)), Some(0.012));
    assert_eq!(busy(ran(0, 9), ran(1000, 0)), Some(0.0));
    assert_eq!(busy(ran(5, 0), ran(5, 9)), None);
    assert_eq!(busy(None, ran(5, 9)), None);
}

#[test]
fn processes_that_stand_for_a_guest_take_what_lies_in_memory() {
    let readings = Readings { resident: Some(123), ..Readings::default() };
    let sample = assemble(&readings, moment(), &mut Floors::new());
    assert_eq!((sample.memory_bytes, sample.memory_available_bytes), (Some(123), None));
    assert_eq!(sample.source["memory_bytes"], Source::Vmm);
    assert_eq!((sample.disk_read_bytes, sample.net_rx_bytes), (None, None));
}
