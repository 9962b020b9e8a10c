//! What is exported of a sample: name, type, unit and value, in the order of the page.
//!
//! Levels are gauges. What only grows is a monotonic cumulative sum that starts with the machine's
//! boot, so that a restart is a reset which every backend understands.

use schema::figures::Sample;

/// What kind of number one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It rises and falls.
    Level,
    /// It only grows within a boot.
    Growth,
}

/// A number of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// Bytes, and what is counted.
    Whole(i64),
    /// Shares and seconds.
    Real(f64),
}

/// One metric.
#[derive(Debug)]
pub(super) struct Instrument {
    /// What dashboards know it as.
    pub name: &'static str,
    /// Level or growth.
    pub kind: Kind,
    /// Its unit, in UCUM.
    pub unit: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Takes it from a sample; `None` where nobody could tell it.
    pub read: fn(&Sample) -> Option<Value>,
}

/// How many there are.
pub(super) const COUNT: usize = 13;

/// Every one, each as a row of the page.
pub(super) const INSTRUMENTS: [Instrument; COUNT] = [
    level("microsandbox.cpu.utilization", "1", "Processors in use; 1 is one that is busy", |s| {
        real(s.cpu_percent? / 100.0)
    }),
    growth("microsandbox.cpu.time", "s", "Time that virtual processors ran", |s| {
        real(seconds(s.vcpu_time_ns?, 1e9))
    }),
    level("microsandbox.memory.usage", "By", "Memory that the guest uses", |s| {
        whole(s.memory_bytes?)
    }),
    level("microsandbox.memory.available", "By", "Memory that programs could still get", |s| {
        whole(s.memory_available_bytes?)
    }),
    level("microsandbox.memory.limit", "By", "The live limit of memory", |s| {
        whole(s.memory_limit_bytes?)
    }),
    level("microsandbox.memory.host_resident", "By", "Guest memory that lies in the host's", |s| {
        whole(s.memory_host_resident_bytes?)
    }),
    growth("microsandbox.disk.bytes_read", "By", "Read from disks and shared folders", |s| {
        whole(s.disk_read_bytes?)
    }),
    growth("microsandbox.disk.bytes_written", "By", "Written to disks and shared folders", |s| {
        whole(s.disk_write_bytes?)
    }),
    growth("microsandbox.network.bytes_received", "By", "Received by the guest", |s| {
        whole(s.net_rx_bytes?)
    }),
    growth("microsandbox.network.bytes_sent", "By", "Sent by the guest", |s| {
        whole(s.net_tx_bytes?)
    }),
    level("microsandbox.upper.usage", "By", "What the writable disk takes on the host", |s| {
        whole(s.upper_used_bytes?)
    }),
    level("microsandbox.uptime", "s", "How long this boot has lasted", |s| {
        real(seconds(s.uptime_ms, 1e3))
    }),
    growth("microsandbox.restarts", "1", "Restarts by the restart policy", |s| {
        whole(u64::from(s.restarts))
    }),
];

const fn level(
    name: &'static str,
    unit: &'static str,
    about: &'static str,
    read: fn(&Sample) -> Option<Value>,
) -> Instrument {
    Instrument { name, kind: Kind::Level, unit, about, read }
}

const fn growth(
    name: &'static str,
    unit: &'static str,
    about: &'static str,
    read: fn(&Sample) -> Option<Value>,
) -> Instrument {
    Instrument { name, kind: Kind::Growth, unit, about, read }
}

fn whole(number: u64) -> Option<Value> {
    Some(Value::Whole(i64::try_from(number).unwrap_or(i64::MAX)))
}

/// No receiver knows what to do with what is no number.
fn real(number: f64) -> Option<Value> {
    number.is_finite().then_some(Value::Real(number))
}

fn seconds(count: u64, in_a_second: f64) -> f64 {
    count as f64 / in_a_second
}

/// A number for each instrument, or none; packed, since a full buffer holds ten thousands of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Values {
    bits: [u64; COUNT],
    /// Which of them are numbers, and which of these are real ones.
    are_told: u16,
    are_real: u16,
}

impl Values {
    /// Takes every number from a sample.
    #[must_use]
    pub(super) fn of(sample: &Sample) -> Self {
        let mut values = Self { bits: [0; COUNT], are_told: 0, are_real: 0 };
        for (at, instrument) in INSTRUMENTS.iter().enumerate() {
            let Some(value) = (instrument.read)(sample) else { continue };
            values.are_told |= 1 << at;
            values.bits[at] = match value {
                Value::Whole(number) => number.cast_unsigned(),
                Value::Real(number) => {
                    values.are_real |= 1 << at;
                    number.to_bits()
                }
            };
        }
        values
    }

    /// Returns that of an instrument, by its place.
    #[must_use]
    pub(super) fn get(&self, at: usize) -> Option<Value> {
        let is_in = |set: u16| set & (1 << at) != 0;
        let bits = self.bits[at];
        is_in(self.are_told).then(|| match is_in(self.are_real) {
            true => Value::Real(f64::from_bits(bits)),
            false => Value::Whole(bits.cast_signed()),
        })
    }

    /// Returns how many there are.
    #[must_use]
    pub(super) const fn len(&self) -> usize {
        self.are_told.count_ones() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Sample {
        Sample {
            uptime_ms: 11_500,
            restarts: 2,
            vcpu_time_ns: Some(1_500_000_000),
            cpu_percent: Some(12.5),
            memory_bytes: Some(3),
            memory_available_bytes: Some(4),
            memory_limit_bytes: Some(5),
            memory_host_resident_bytes: Some(6),
            disk_read_bytes: Some(7),
            disk_write_bytes: Some(8),
            net_rx_bytes: Some(9),
            net_tx_bytes: Some(10),
            upper_used_bytes: Some(u64::MAX),
            ..Sample::default()
        }
    }

    #[test]
    fn rt_11_5_every_row_of_the_page_has_its_name_type_unit_and_value() {
        let page = [
            ("cpu.utilization", Kind::Level, "1", Value::Real(0.125)),
            ("cpu.time", Kind::Growth, "s", Value::Real(1.5)),
            ("memory.usage", Kind::Level, "By", Value::Whole(3)),
            ("memory.available", Kind::Level, "By", Value::Whole(4)),
            ("memory.limit", Kind::Level, "By", Value::Whole(5)),
            ("memory.host_resident", Kind::Level, "By", Value::Whole(6)),
            ("disk.bytes_read", Kind::Growth, "By", Value::Whole(7)),
            ("disk.bytes_written", Kind::Growth, "By", Value::Whole(8)),
            ("network.bytes_received", Kind::Growth, "By", Value::Whole(9)),
            ("network.bytes_sent", Kind::Growth, "By", Value::Whole(10)),
            ("upper.usage", Kind::Level, "By", Value::Whole(i64::MAX)),
            ("uptime", Kind::Level, "s", Value::Real(11.5)),
            ("restarts", Kind::Growth, "1", Value::Whole(2)),
        ];
        let values = Values::of(&full());
        for ((at, instrument), (name, kind, unit, want)) in INSTRUMENTS.iter().enumerate().zip(page)
        {
            assert_eq!(instrument.name, format!("microsandbox.{name}"));
            assert_eq!((instrument.kind, instrument.unit), (kind, unit), "{name}");
            assert_eq!(values.get(at), Some(want), "{name}");
        }
    }

    #[test]
    fn rt_11_5_what_nobody_could_tell_is_no_point() {
        let values = Values::of(&Sample { cpu_percent: Some(f64::NAN), ..Sample::default() });
        let told = INSTRUMENTS.iter().enumerate().filter(|(at, _)| values.get(*at).is_some());
        let told: Vec<_> = told.map(|(_, instrument)| instrument.name).collect();
        assert_eq!(values.len(), told.len());
        assert_eq!(told, ["microsandbox.uptime", "microsandbox.restarts"]);
    }
}
