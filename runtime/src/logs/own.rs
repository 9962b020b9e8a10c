//! `runtime.log`: the runtime's own words, one JSON line each.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::rotating::{Caps, Rotating};
use super::time::rfc3339;
use crate::clock::{Clock as _, HostClock};
use crate::folder::Folder;

const CAPS: Caps = Caps { bytes_max: 10 * 1024 * 1024, old_max: 1 };

/// The log's file, shared by everything that writes into it.
#[derive(Debug, Clone)]
struct OwnLog(Arc<Mutex<Rotating>>);

/// Makes `log`, a file opened by the caller, the place of every `tracing` line of this process.
pub(crate) fn start(folder: Arc<Folder>, log: OwnedFd, level: &str) -> io::Result<()> {
    let file = Rotating::over(folder, "runtime.log", CAPS, File::from(log))?;
    let own = OwnLog(Arc::new(Mutex::new(file)));
    let level = LevelFilter::from_str(level).unwrap_or(LevelFilter::INFO);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .event_format(Lines)
        .with_writer(own)
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    std::panic::set_hook(Box::new(|panic| tracing::error!(target: "panic", "{panic}")));
    Ok(())
}

impl Write for OwnLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full disk stops logging, not the machine.
        if let Ok(mut file) = self.0.lock() {
            file.write_all(bytes).ok();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for OwnLog {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// How a line looks: `ts`, `level`, `target`, `msg` and the fields.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Fields(Map::new());
        line.set("ts", rfc3339(HostClock.wall_ms()));
        line.set("level", event.metadata().level().as_str().to_ascii_lowercase());
        line.set("target", event.metadata().target().to_owned());
        event.record(&mut line);
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        let name = if name == "message" { "msg" } else { name };
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }
}
