//! How much went through a machine's wire, as its thread counts it and others read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was carried since the machine started, as IP packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Given to the guest.
    pub(crate) rx_bytes: u64,
    /// Given to the guest.
    pub(crate) rx_packets: u64,
    /// Taken from the guest.
    pub(crate) tx_bytes: u64,
    /// Taken from the guest.
    pub(crate) tx_packets: u64,
    /// Flows and names that may not pass.
    pub(crate) denials: u64,
}

impl Carried {
    /// Notes a packet for the guest.
    pub(super) fn give(&mut self, bytes: usize) {
        self.rx_packets += 1;
        self.rx_bytes += u64::try_from(bytes).unwrap_or(0);
    }

    /// Notes a packet of the guest.
    pub(super) fn take(&mut self, bytes: usize) {
        self.tx_packets += 1;
        self.tx_bytes += u64::try_from(bytes).unwrap_or(0);
    }
}

/// The same, to be read from another thread without asking.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic(Arc<[AtomicU64; 5]>);

impl Traffic {
    /// Shows what was carried until now.
    pub(super) fn show(&self, carried: Carried) {
        let Carried { rx_bytes, rx_packets, tx_bytes, tx_packets, denials } = carried;
        let values = [rx_bytes, rx_packets, tx_bytes, tx_packets, denials];
        self.0.iter().zip(values).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
    }

    /// Returns what was carried until a moment ago.
    pub(crate) fn carried(&self) -> Carried {
        let [rx_bytes, rx_packets, tx_bytes, tx_packets, denials] =
            self.0.each_ref().map(|word| word.load(Ordering::Relaxed));
        Carried { rx_bytes, rx_packets, tx_bytes, tx_packets, denials }
    }
}
