//! Ports of the host that the kernel chose, so that a sandbox has the same ones again.

use rusqlite::{Connection, params};
use schema::record::Bound;

use super::StoreError;
use super::inventory::{Found, as_word, parsed, query, word};

/// Returns the ports that were chosen for a sandbox when it last had them.
///
/// # Errors
/// The rows cannot be read.
pub fn chosen_ports(db: &Connection, sandbox_id: &str) -> Found<Vec<Bound>> {
    let failed = query("read ports");
    let text = "SELECT protocol, bind, host, guest FROM port WHERE sandbox_id = ?1 AND chosen = 1 \
                ORDER BY protocol, bind, guest";
    let mut rows = db.prepare_cached(text).map_err(&failed)?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
    };
    let found = rows.query_map([sandbox_id], read).map_err(&failed)?;
    found
        .map(|row| {
            let (protocol, bind, host, guest) = row.map_err(&failed)?;
            let (protocol, bind) = (word("protocol of a port", &protocol)?, parsed("bind", &bind)?);
            Ok(Bound { bind, host, guest, protocol, auto: true })
        })
        .collect()
}

/// Remembers the ports of a sandbox that the kernel chose. One that another had before is this one's now.
///
/// # Errors
/// The rows cannot be written.
pub fn put_chosen_ports(db: &Connection, sandbox_id: &str, ports: &[Bound]) -> Found<()> {
    let chosen: Vec<&Bound> = ports.iter().filter(|port| port.auto).collect();
    if chosen.is_empty() {
        // What it had is kept for the day on which it is asked for again.
        return Ok(());
    }
    let failed = |error| StoreError::Query("write ports", error);
    db.execute("DELETE FROM port WHERE sandbox_id = ?1", [sandbox_id]).map_err(failed)?;
    for port in chosen {
        let (protocol, bind) = (as_word(port.protocol), port.bind.to_string());
        db.execute(
            "INSERT OR REPLACE INTO port VALUES (?1, ?2, ?3, ?4, ?5, 1)",
            params![sandbox_id, protocol, bind, port.host, port.guest],
        )
        .map_err(failed)?;
    }
    Ok(())
}
