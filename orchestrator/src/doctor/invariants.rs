//! Whether what is remembered contradicts itself, or holds what it must not.

use std::collections::BTreeSet;

use schema::project::{Body, EnvValue};

use super::Finding;
use crate::context::Context;
use crate::engine::read_source;
use crate::machines::process;
use crate::report::human;
use crate::store::invariants::{self, Value};
use crate::store::{Rows, Store, StoreError, inventory};

/// The check's name.
const ID: &str = "invariants";

/// Looks at all rows; nothing is mended.
pub(super) fn invariants(context: &Context) -> Finding {
    let looked = match Store::open_read_only(context.home()) {
        Ok(Some(mut store)) => store.read(|db| look(context, db)),
        Ok(None) => return Finding::ok(ID, "there is no state yet"),
        // What keeps it from being read, the check `state` says.
        Err(_) => return Finding::fail(ID, "the state cannot be read, so nobody knows"),
    };
    looked.unwrap_or_else(|error| Finding::fail(ID, error.to_string()))
}

fn look(context: &Context, db: &Rows) -> Result<Finding, StoreError> {
    let broken = invariants::broken(db)?;
    if !broken.is_empty() {
        let hint = "keep a copy of the home and report it with the output of `msb doctor`";
        return Ok(Finding::fail(ID, broken.join("; ")).hint(hint));
    }
    let found = invariants::values_in(db, &values(context, db)?)?;
    if !found.is_empty() {
        let told = found.iter().map(|one| format!("{} in {}", one.of, one.column));
        let told: Vec<String> = told.collect();
        let detail = format!("values that are only named stand in the state: {}", told.join(", "));
        return Ok(Finding::warn(ID, detail).hint("change them, unless they are no secret"));
    }
    let mut cut_off = 0;
    for (run, ops) in invariants::open_work(db)? {
        if process::start_ticks(run.pid)?.is_none_or(|ticks| ticks != run.start_ticks) {
            cut_off += ops.len();
        }
    }
    if cut_off > 0 {
        let detail = human::count(cut_off, "operation") + " cut off";
        let hint = "the next command that changes the project brings them to an end";
        return Ok(Finding::warn(ID, detail).hint(hint));
    }
    Ok(Finding::ok(ID, "every row fits the others"))
}

/// Returns the values that definitions only name, as far as they can be read here and now.
fn values(context: &Context, db: &Rows) -> Result<Vec<Value>, StoreError> {
    let definitions = inventory::definitions(db)?;
    let named = |body: &Body| -> Vec<EnvValue> {
        body.env.values().filter(|value| value.is_digested()).cloned().collect()
    };
    let mut seen = BTreeSet::new();
    let mut values = Vec::new();
    for source in definitions.values().flat_map(named) {
        let of = source.to_string();
        if seen.insert(of.clone())
            && let Some(bytes) = read_source(context, &source)
        {
            // A file ends with a line end that a copy of its value may lack.
            values.push(Value { of, bytes: bytes.trim_ascii_end().to_vec() });
        }
    }
    Ok(values)
}
