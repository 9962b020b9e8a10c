//! A trace on its way: one request, at the end of the command that it tells of.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::Trace;
use crate::context::{Clock as _, SystemClock};
use crate::exporter::options::Variables;
use crate::exporter::sources::{installation, resource};
use crate::exporter::transport::{Compression, Protocol, Signal, Transport, Way};
use crate::exporter::verdict::Verdict;

/// How long the end of a command may wait for whoever collects traces.
pub const DELIVER_MAX: Duration = Duration::from_secs(2);

/// Sends the trace of a command that ended with this code.
///
/// # Errors
/// Why nobody took it.
pub async fn deliver(
    trace: &Trace,
    code: u8,
    variables: &mut Variables<'_>,
    (home, clock): (&Path, SystemClock),
) -> Result<(), String> {
    let asked: BTreeMap<String, String> = variables.resource();
    // A state that cannot be read was told by the command itself.
    let installation = installation(home).ok().flatten();
    let resource = resource(&asked, installation.as_deref());
    let message = trace.end(resource, code, clock.unix_ms());
    let protocol = variables.protocol().unwrap_or(Protocol::Grpc);
    let endpoint = variables.endpoint(protocol).map_err(|error| error.to_string())?;
    let Some(endpoint) = endpoint else { return Ok(()) };
    let way = Way {
        endpoint,
        protocol,
        compression: variables.compression().unwrap_or(Compression::None),
        headers: variables.headers(),
        signal: Signal::Traces,
        timeout: variables.timeout().unwrap_or(DELIVER_MAX).min(DELIVER_MAX),
    };
    let transport = Transport::new(way, &variables.trust(), clock);
    let mut transport = transport.map_err(|error| error.to_string())?;
    match transport.send(message).await {
        Verdict::Taken => Ok(()),
        Verdict::Partly { rejected, why } => Err(format!("{rejected} spans are not wanted: {why}")),
        Verdict::Again { why, .. } | Verdict::Refused { why } => Err(why),
    }
}
