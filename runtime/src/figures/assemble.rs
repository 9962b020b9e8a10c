//! From readings to a sample: pure, and the only place that knows which figure is whose.
//!
//! What only grows is never told smaller than before: a guest's figure that shrank is held and
//! marked, since either the guest or its agent made it up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schema::figures::{Sample, Source};
use schema::wire::message::StatsReply;

use crate::hypervisor::Moved;
use crate::net::Carried;

/// How old a sample may be that growth is measured against.
pub(super) const COMPARED_MAX: Duration = Duration::from_secs(60);

/// What one round of questions came to; what nobody told is absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Readings {
    /// When the processors' time was read, and what it was.
    pub(super) vcpu: Option<Reading>,
    /// The same some time before.
    pub(super) vcpu_before: Option<Reading>,
    /// What the agent says of the guest.
    pub(super) agent: Option<StatsReply>,
    /// What the guest's kernel says by itself: total and available.
    pub(super) balloon: Option<(u64, u64)>,
    /// What processes take that stand for a guest.
    pub(super) resident: Option<u64>,
    /// What of the guest's memory lies in that of the host.
    pub(super) host_resident: Option<u64>,
    /// What went through the disks; absent also where the VMM did not say so in time.
    pub(super) disks: Option<Moved>,
    /// Whether the driver counts disks itself.
    pub(super) counts_disks: bool,
    /// What went through shared folders; absent where none are shared.
    pub(super) shares: Option<Moved>,
    /// What went through the network device.
    pub(super) net: Option<Carried>,
    /// What the private writable disk takes.
    pub(super) upper: Option<u64>,
}

/// The processors' time at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) ns: u64,
}

/// When, of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) sampled_at_ms: u64,
    pub(super) started_at_ms: u64,
    pub(super) uptime: Duration,
    pub(super) boot: u32,
    pub(super) restarts: u32,
    pub(super) memory_limit_bytes: u64,
}

/// The largest that was told of each figure that only grows.
pub(super) type Floors = BTreeMap<&'static str, u64>;

/// A sample that was taken.
#[derive(Debug, Clone)]
pub(super) struct Before {
    /// When it was begun.
    pub(super) taken: Instant,
    pub(super) vcpu: Option<Reading>,
    pub(super) floors: Floors,
    pub(super) sample: Sample,
}

/// Who told what, and what was held.
struct Teller<'f> {
    floors: &'f mut Floors,
    source: BTreeMap<String, Source>,
    clamped: Vec<String>,
}

/// Returns the sample that readings come to, and remembers how far it went.
pub(super) fn assemble(readings: &Readings, moment: Moment, floors: &mut Floors) -> Sample {
    let Moment { sampled_at_ms, started_at_ms, uptime, boot, restarts, memory_limit_bytes } =
        moment;
    let mut teller = Teller { floors, source: BTreeMap::new(), clamped: Vec::new() };
    let told = &mut teller;
    let (used, available, memory_source) = memory(readings);
    let (disks, disk_source) = disks(readings);
    let (net, vcpu) = (readings.net, readings.vcpu.map(|vcpu| vcpu.ns));
    let limit = Some(memory_limit_bytes);
    let sample = Sample {
        sampled_at_ms,
        started_at_ms,
        boot,
        uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        restarts,
        vcpu_time_ns: told.grows("vcpu_time_ns", vcpu, Source::Vmm),
        cpu_percent: told.level("cpu_percent", percent(readings), Source::Vmm),
        memory_bytes: told.level("memory_bytes", used, memory_source),
        memory_available_bytes: told.level("memory_available_bytes", available, memory_source),
        memory_limit_bytes: told.level("memory_limit_bytes", limit, Source::Runtime),
        memory_host_resident_bytes: told.level(
            "memory_host_resident_bytes",
            readings.host_resident,
            Source::Vmm,
        ),
        disk_read_bytes: told.grows("disk_read_bytes", disks.read_bytes, disk_source),
        disk_write_bytes: told.grows("disk_write_bytes", disks.write_bytes, disk_source),
        disk_read_ops: told.grows("disk_read_ops", disks.read_ops, disk_source),
        disk_write_ops: told.grows("disk_write_ops", disks.write_ops, disk_source),
        net_rx_bytes: told.carried("net_rx_bytes", net.map(|net| net.rx_bytes)),
        net_tx_bytes: told.carried("net_tx_bytes", net.map(|net| net.tx_bytes)),
        net_rx_packets: told.carried("net_rx_packets", net.map(|net| net.rx_packets)),
        net_tx_packets: told.carried("net_tx_packets", net.map(|net| net.tx_packets)),
        net_denials: told.carried("net_denials", net.map(|net| net.denials)),
        upper_used_bytes: told.level("upper_used_bytes", readings.upper, Source::Runtime),
        ..Sample::default()
    };
    let Teller { source, clamped, .. } = teller;
    Sample { source, clamped, ..sample }
}

impl Teller<'_> {
    /// Notes who told a figure.
    fn level<T>(&mut self, field: &str, figure: Option<T>, source: Source) -> Option<T> {
        if figure.is_some() {
            self.source.insert(field.to_owned(), source);
        }
        figure
    }

    /// Notes who told a figure of the runtime's own, which never shrinks.
    fn carried(&mut self, field: &str, figure: Option<u64>) -> Option<u64> {
        self.level(field, figure, Source::Runtime)
    }

    /// Notes who told a figure, and holds it where it is smaller than before.
    fn grows(&mut self, field: &'static str, figure: Option<u64>, source: Source) -> Option<u64> {
        let figure = self.level(field, figure, source)?;
        let floor = self.floors.entry(field).or_default();
        if figure < *floor && source == Source::Agent {
            self.clamped.push(field.to_owned());
        }
        *floor = figure.max(*floor);
        Some(*floor)
    }
}

/// Returns how much memory is used and could be had, and who says so.
fn memory(readings: &Readings) -> (Option<u64>, Option<u64>, Source) {
    if let Some(resident) = readings.resident {
        return (Some(resident), None, Source::Vmm);
    }
    let said = readings
        .agent
        .as_ref()
        .and_then(|said| Some((said.memory_total_bytes?, said.memory_available_bytes?)));
    // Either way it is the guest that says so.
    let said = readings.balloon.or(said);
    let used = said.map(|(total, available)| total.saturating_sub(available));
    (used, said.map(|(_, available)| available), Source::Agent)
}

/// What was moved, each figure by itself.
#[derive(Default)]
struct Disks {
    read_bytes: Option<u64>,
    write_bytes: Option<u64>,
    read_ops: Option<u64>,
    write_ops: Option<u64>,
}

/// Returns what went through disks and shared folders together, and who says so.
///
/// Without one of the two the sum would be another figure, so it is absent then.
fn disks(readings: &Readings) -> (Disks, Source) {
    let shares = readings.shares.unwrap_or_default();
    if readings.counts_disks {
        let moved = readings.disks.map(|disks| disks.and(shares));
        let disks = Disks {
            read_bytes: moved.map(|moved| moved.read_bytes),
            write_bytes: moved.map(|moved| moved.write_bytes),
            read_ops: moved.map(|moved| moved.read_ops),
            write_ops: moved.map(|moved| moved.write_ops),
        };
        return (disks, Source::Vmm);
    }
    let said = readings.agent.as_ref();
    let sum = |said: Option<u64>, shared: u64| said.map(|said| said.saturating_add(shared));
    let disks = Disks {
        read_bytes: sum(said.and_then(|said| said.disk_read_bytes), shares.read_bytes),
        write_bytes: sum(said.and_then(|said| said.disk_write_bytes), shares.write_bytes),
        read_ops: sum(said.and_then(|said| said.disk_read_ops), shares.read_ops),
        write_ops: sum(said.and_then(|said| said.disk_write_ops), shares.write_ops),
    };
    (disks, Source::Agent)
}

/// Returns how busy the processors were between the two readings, in percent of one of them.
fn percent(readings: &Readings) -> Option<f64> {
    let (before, now) = (readings.vcpu_before?, readings.vcpu?);
    let passed = now.at.saturating_duration_since(before.at).as_nanos();
    if passed == 0 {
        return None;
    }
    let ran = u128::from(now.ns.saturating_sub(before.ns));
    // Thousandths, so that what is printed is what was measured and not how a float rounds.
    let thousandths = u32::try_from(ran * 100_000 / passed).unwrap_or(u32::MAX);
    Some(f64::from(thousandths) / 1000.0)
}

#[cfg(test)]
mod tests;
