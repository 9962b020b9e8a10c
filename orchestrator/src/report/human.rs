//! Values and tables as people read them.

use std::net::SocketAddr;
use std::time::Duration;

use schema::record::Bound;

use super::clean::clean;

const UNITS: [(u64, &str); 4] =
    [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// Returns published ports as `127.0.0.1:8080 → 80/tcp`, those in a row as one: `127.0.0.1:8080-8089 → 80-89/tcp`.
#[must_use]
pub fn ports(ports: &[Bound]) -> Vec<String> {
    let follows = |last: &Bound, next: &Bound| {
        let apart = |port: u16, other: u16| other.checked_sub(port) == Some(1);
        (last.protocol, last.bind) == (next.protocol, next.bind)
            && apart(last.host, next.host)
            && apart(last.guest, next.guest)
    };
    let mut sorted = ports.to_vec();
    sorted.sort_unstable_by_key(|port| (port.protocol, port.bind, port.host, port.guest));
    let rows = sorted.chunk_by(follows).filter_map(|row| {
        let (first, last) = (row.first()?, row.last()?);
        if row.len() == 1 {
            return Some(first.to_string());
        }
        let at = SocketAddr::new(first.bind, first.host);
        let (host, guest, protocol) = (last.host, last.guest, first.protocol.as_str());
        Some(format!("{at}-{host} → {}-{guest}/{protocol}", first.guest))
    });
    rows.collect()
}

/// Returns a size as `1.3 GiB`; whole numbers and those of three digits lose the fraction.
#[must_use]
pub fn size(bytes: u64) -> String {
    let Some((unit, name)) = UNITS.iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(*unit) / 2) / u128::from(*unit);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if tenth == 0 || whole >= 100 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{tenth} {name}")
    }
}

/// Returns a duration as `0.31s`, `12s`, `3m 04s`, `3h 12m`, `2d 4h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{seconds}.{:02}s", time.subsec_millis() / 10),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Returns the same of milliseconds.
#[must_use]
pub fn millis(ms: u64) -> String {
    duration(Duration::from_millis(ms))
}

/// Returns `1 volume`, `2 volumes`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Returns `web[0]` of a name and an instance.
#[must_use]
pub fn instance(name: &str, instance: &str) -> String {
    if instance.is_empty() { name.to_owned() } else { format!("{name}[{instance}]") }
}

/// Rows under heads, two spaces between columns, `-` for nothing.
#[derive(Debug, Clone)]
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Row>,
}

/// A row, with lines that hang below it.
#[derive(Debug, Clone)]
struct Row {
    cells: Vec<String>,
    below: Vec<String>,
}

impl Table {
    /// Returns a table without rows.
    #[must_use]
    pub fn new(heads: &[&str]) -> Self {
        Self { heads: heads.iter().map(|head| (*head).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; text that a guest or an image wrote is made safe here.
    pub fn row(&mut self, cells: Vec<String>) {
        let safe = |cell: String| match clean(&cell).as_ref() {
            "" => "-".to_owned(),
            text => text.to_owned(),
        };
        self.rows.push(Row { cells: cells.into_iter().map(safe).collect(), below: Vec::new() });
    }

    /// Hangs a line below the last row, indented.
    pub fn below(&mut self, line: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.below.push(format!("  {}", clean(line)));
        }
    }

    /// Tells whether there is nothing to print.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the text; lines longer than `width` are cut, none where there is no width.
    #[must_use]
    pub fn text(&self, width: Option<usize>) -> String {
        if self.is_empty() {
            return String::new();
        }
        let all = || std::iter::once(&self.heads).chain(self.rows.iter().map(|row| &row.cells));
        let columns = self.heads.len();
        let widths: Vec<usize> = (0..columns)
            .map(|at| all().filter_map(|cells| cells.get(at)).map(|c| wide(c)).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        push_line(&mut text, &join(&self.heads, &widths), width);
        for row in &self.rows {
            push_line(&mut text, &join(&row.cells, &widths), width);
            row.below.iter().for_each(|line| push_line(&mut text, line, width));
        }
        text
    }
}

/// Counts characters; close enough to columns for names, figures and paths.
fn wide(text: &str) -> usize {
    text.chars().count()
}

fn join(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width - wide(cell) + 2));
    }
    line.truncate(line.trim_end().len());
    line
}

fn push_line(text: &mut String, line: &str, width: Option<usize>) {
    text.push_str(&cut(line, width));
    text.push('\n');
}

/// Returns `line`, cut to `width` characters with `…` where it is longer.
#[must_use]
pub fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if wide(line) > width => {
            let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
            short.push('…');
            short
        }
        Some(_) | None => line.to_owned(),
    }
}

/// Returns as much of a text as a screen of so many rows shows; the last line says how much is left
/// out.
#[must_use]
pub fn top_lines(text: &str, rows: usize) -> String {
    let count = text.lines().count();
    // The cursor stands below the last line.
    let room = rows.max(3) - 1;
    if count <= room {
        return text.to_owned();
    }
    let shown = text.lines().take(room - 1).map(|line| format!("{line}\n"));
    shown.chain([format!("… {} more\n", count + 1 - room)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_a_row_are_one() {
        use schema::project::{PublishedPort, Transport};
        let bound = |host, guest, protocol| Bound {
            bind: PublishedPort::BIND,
            host,
            guest,
            protocol,
            auto: false,
        };
        let (tcp, udp) = (Transport::Tcp, Transport::Udp);
        let rows =
            [bound(8081, 81, tcp), bound(8080, 80, tcp), bound(8082, 90, tcp), bound(53, 53, udp)];
        let expected =
            ["127.0.0.1:8080-8081 → 80-81/tcp", "127.0.0.1:8082 → 90/tcp", "127.0.0.1:53 → 53/udp"];
        assert_eq!(ports(&rows), expected);
        assert!(ports(&[]).is_empty());
    }

    #[test]
    fn sizes_are_read_at_a_glance() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (512 << 20, "512 MiB"),
            (1_395_864_371, "1.3 GiB"),
            (2 << 30, "2 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn durations_are_read_at_a_glance() {
        for (ms, expected) in [
            (0, "0.00s"),
            (312, "0.31s"),
            (10_210, "10s"),
            (184_000, "3m 04s"),
            (11_520_000, "3h 12m"),
            (187_200_000, "2d 4h"),
        ] {
            assert_eq!(millis(ms), expected, "{ms}");
        }
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(&["NAME", "PHASE", "PORTS"]);
        table.row(vec!["db".into(), "Ready".into(), String::new()]);
        table.row(vec!["web[0]".into(), "Failed(exit 3)".into(), "a\u{1b}[2Jb".into()]);
        table.below("boot: the guest panicked");
        assert_eq!(
            table.text(None),
            "NAME    PHASE           PORTS\n\
             db      Ready           -\n\
             web[0]  Failed(exit 3)  ab\n  \
             boot: the guest panicked\n"
        );
        assert_eq!(table.text(Some(9)).lines().nth(1), Some("db      …"));
    }

    #[test]
    fn a_screen_shows_what_it_has_room_for() {
        let text = "1\n2\n3\n4\n";
        assert_eq!(top_lines(text, 5), text);
        assert_eq!(top_lines(text, 4), "1\n2\n… 2 more\n");
    }

    #[test]
    fn an_empty_table_prints_nothing() {
        assert_eq!(Table::new(&["NAME"]).text(None), "");
    }
}
