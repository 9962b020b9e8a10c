//! Figures as people and programs read them.

use std::cmp::Reverse;
use std::sync::Arc;

use schema::figures::Sample;
use serde_json::Value;

use super::Sort;
use super::growth::Rates;
use crate::report::human::{self, Table};
use crate::sampling::{Living, document};

/// One sandbox.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) who: Arc<Living>,
    /// Absent where it does not say in time.
    pub(super) sample: Option<Arc<Sample>>,
    pub(super) rates: Option<Rates>,
}

const HEADS: [&str; 8] =
    ["NAME", "CPU", "MEMORY", "DISK READ", "DISK WRITE", "NET RX", "NET TX", "UPTIME"];
const RATE_HEADS: [&str; 4] = ["READ/S", "WRITE/S", "RX/S", "TX/S"];

/// What a table tells of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// What was used.
    Totals,
    /// How fast it grows, too.
    WithRates,
}

/// Returns the table of rows, that of several projects or of one.
pub(super) fn table(rows: &[Row], is_wide: bool, columns: Columns) -> Table {
    let mut heads: Vec<&str> = if is_wide { vec!["PROJECT"] } else { Vec::new() };
    heads.extend(HEADS);
    if columns == Columns::WithRates {
        heads.extend(RATE_HEADS);
    }
    let mut table = Table::new(&heads);
    for row in rows {
        let mut cells = if is_wide { vec![row.who.project.to_string()] } else { Vec::new() };
        cells.extend(row.cells());
        if columns == Columns::WithRates {
            cells.extend(row.rate_cells());
        }
        table.row(cells);
    }
    table
}

/// Puts rows in order: by name, or the largest first; whoever does not say comes last.
pub(super) fn sort(rows: &mut [Row], by: Sort) {
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    };
    let figure = |row: &Row| {
        let sample = row.sample.as_deref()?;
        let rates = row.rates;
        match by {
            Sort::Name => None,
            // Thousandths of a percent, as it is measured.
            Sort::Cpu => sample.cpu_percent.map(thousandths),
            Sort::Memory => sample.memory_bytes,
            Sort::Disk => match rates {
                Some(rates) => sum(rates.disk_read, rates.disk_write),
                None => sum(sample.disk_read_bytes, sample.disk_write_bytes),
            },
            Sort::Net => match rates {
                Some(rates) => sum(rates.net_rx, rates.net_tx),
                None => sum(sample.net_rx_bytes, sample.net_tx_bytes),
            },
        }
    };
    rows.sort_by_key(|row| (Reverse(figure(row)), row.who.project.clone(), row.who.name.clone()));
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a few processors, never below zero"
)]
fn thousandths(percent: f64) -> u64 {
    (percent * 1000.0).round() as u64
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let name = self.who.name.to_string();
        let Some(sample) = &self.sample else {
            let nothing = std::iter::repeat_n(String::new(), HEADS.len() - 1);
            return std::iter::once(name).chain(nothing).collect();
        };
        let size = |bytes: Option<u64>| bytes.map(human::size).unwrap_or_default();
        let memory = match (sample.memory_bytes, sample.memory_limit_bytes) {
            (Some(used), Some(limit)) => {
                format!("{} / {}", human::size(used), human::size(limit))
            }
            (used, _) => size(used),
        };
        vec![
            name,
            sample.cpu_percent.map(|percent| format!("{percent:.1}%")).unwrap_or_default(),
            memory,
            size(sample.disk_read_bytes),
            size(sample.disk_write_bytes),
            size(sample.net_rx_bytes),
            size(sample.net_tx_bytes),
            human::millis(sample.uptime_ms),
        ]
    }

    fn rate_cells(&self) -> [String; 4] {
        let Some(Rates { disk_read, disk_write, net_rx, net_tx }) = self.rates else {
            return Default::default();
        };
        [disk_read, disk_write, net_rx, net_tx]
            .map(|rate| rate.map(human::size).unwrap_or_default())
    }

    /// Returns the row as programs read it; what nobody told is null.
    pub(super) fn document(&self) -> Value {
        document(&self.who, self.sample.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schema::launch::DriverName;
    use schema::name::{InstanceName, ProjectName};
    use serde_json::json;

    use super::*;
    use crate::machines::{Folder, Machine};

    fn row(name: &str, sample: Option<Sample>) -> Row {
        let id = "4f2a9c017be3d85a";
        let machine = Machine::new(Folder::of(Path::new("/h"), id), id.into(), String::new());
        let who = Living {
            project: ProjectName::parse("shop").unwrap(),
            name: InstanceName::parse(name).unwrap(),
            machine,
            driver: DriverName::Qemu,
            pid: 1,
            image_digest: None,
            definition: None,
        };
        Row { who: Arc::new(who), sample: sample.map(Arc::new), rates: None }
    }

    fn busy(percent: f64) -> Sample {
        Sample {
            cpu_percent: Some(percent),
            memory_bytes: Some(212 << 20),
            memory_limit_bytes: Some(1 << 30),
            disk_read_bytes: Some(18 << 20),
            disk_write_bytes: Some(2_202_010),
            net_rx_bytes: Some(42_152_755),
            net_tx_bytes: None,
            uptime_ms: 11_520_000,
            ..Sample::default()
        }
    }

    #[test]
    fn cli_4_11_figures_are_read_at_a_glance() {
        let rows = [row("web[0]", Some(busy(12.48))), row("web[1]", None)];
        assert_eq!(
            table(&rows, false, Columns::Totals).text(None),
            "NAME    CPU    MEMORY           DISK READ  DISK WRITE  NET RX    NET TX  UPTIME\n\
             web[0]  12.5%  212 MiB / 1 GiB  18 MiB     2.1 MiB     40.2 MiB  -       3h 12m\n\
             web[1]  -      -                -          -           -         -       -\n"
        );
    }

    #[test]
    fn the_busiest_comes_first_and_who_does_not_say_last() {
        let mut rows = [row("a", None), row("b", Some(busy(1.0))), row("c", Some(busy(150.0)))];
        let names = |rows: &[Row]| rows.iter().map(|r| r.who.name.to_string()).collect::<String>();
        sort(&mut rows, Sort::Cpu);
        assert_eq!(names(&rows), "cba");
        sort(&mut rows, Sort::Memory);
        assert_eq!(names(&rows), "bca", "equal ones stand by name");
        sort(&mut rows, Sort::Name);
        assert_eq!(names(&rows), "abc");
    }

    #[test]
    fn cli_4_11_every_key_is_always_there() {
        let (silent, telling) = (row("web[0]", None), row("web[0]", Some(busy(0.5))));
        let (silent, telling) = (silent.document(), telling.document());
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&silent), keys(&telling));
        assert_eq!((&silent["boot"], &silent["sampled_at"]), (&Value::Null, &Value::Null));
        assert_eq!(
            (&telling["cpu_percent"], &telling["net_tx_bytes"]),
            (&json!(0.5), &Value::Null)
        );
        assert_eq!(telling["address"], "sandbox.web[0]");
        assert!(telling.get("sampled_at_ms").is_none() && silent["source"].is_object());
    }
}
