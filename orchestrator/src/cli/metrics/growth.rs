//! How fast figures grow, between one sample of a machine and the next.

use std::collections::BTreeMap;

use schema::figures::Sample;

use crate::sampling::Living;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Growth(BTreeMap<String, Seen>);

/// What was seen of a machine.
#[derive(Debug, Clone)]
struct Seen {
    sample: Sample,
    rates: Option<Rates>,
}

/// What is moved in a second, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) disk_read: Option<u64>,
    pub(super) disk_write: Option<u64>,
    pub(super) net_rx: Option<u64>,
    pub(super) net_tx: Option<u64>,
}

impl Growth {
    /// Takes a sample; returns how fast it grew since the one before, of the same boot.
    pub(super) fn add(&mut self, who: &Living, sample: &Sample) -> Option<Rates> {
        self.of(who.machine.id(), sample)
    }

    fn of(&mut self, machine: &str, sample: &Sample) -> Option<Rates> {
        let rates = match self.0.get(machine).filter(|seen| seen.sample.boot == sample.boot) {
            // The same sample again: it grew as it did.
            Some(seen) if seen.sample.sampled_at_ms == sample.sampled_at_ms => return seen.rates,
            Some(seen) => Some(Rates::between(&seen.sample, sample)),
            None => None,
        };
        self.0.insert(machine.to_owned(), Seen { sample: sample.clone(), rates });
        rates
    }

    /// Forgets a machine.
    pub(super) fn forget(&mut self, machine: &str) {
        self.0.remove(machine);
    }
}

impl Rates {
    fn between(before: &Sample, now: &Sample) -> Self {
        let passed_ms = now.sampled_at_ms.saturating_sub(before.sampled_at_ms).max(1);
        let rate = |of: fn(&Sample) -> Option<u64>| {
            let grown = u128::from(of(now)?.saturating_sub(of(before)?));
            u64::try_from(grown * 1000 / u128::from(passed_ms)).ok()
        };
        Self {
            disk_read: rate(|sample| sample.disk_read_bytes),
            disk_write: rate(|sample| sample.disk_write_bytes),
            net_rx: rate(|sample| sample.net_rx_bytes),
            net_tx: rate(|sample| sample.net_tx_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, boot: u32, read: Option<u64>) -> Sample {
        Sample { sampled_at_ms: at, boot, disk_read_bytes: read, ..Sample::default() }
    }

    #[test]
    fn growth_is_told_by_the_second_and_never_over_a_boot() {
        let mut growth = Growth::default();
        let mut read = |sample| growth.of("m", &sample).map(|rates| rates.disk_read);
        assert_eq!(read(sample(1000, 1, Some(500))), None);
        assert_eq!(read(sample(3000, 1, Some(4500))), Some(Some(2000)));
        assert_eq!(read(sample(3000, 1, Some(4500))), Some(Some(2000)), "the same sample again");
        assert_eq!(read(sample(4000, 1, None)), Some(None));
        assert_eq!(read(sample(9000, 2, Some(1))), None);
        growth.forget("m");
        assert_eq!(growth.of("m", &sample(9999, 2, Some(2))), None);
    }
}
