//! What runtimes wrote down, taken over while somebody follows the events.

use std::collections::HashMap;

use super::call::Call;
use crate::context::Clock as _;
use crate::store::events::Moment;
use crate::store::{Store, StoreError, journal, retention};

/// Takes over what is new each time that it is looked for.
#[derive(Default)]
pub(super) struct Taking {
    /// The state, opened to write to it once there is something to take over.
    store: Option<Store>,
    /// Whether that cannot be done, of which was told.
    is_over: bool,
    /// How each journal was when it was looked at last.
    marks: HashMap<String, (u64, u64)>,
}

impl Taking {
    /// Takes over what is new of these machines. A reader goes on without it: a state that is full,
    /// read-only or of a later msb still tells what commands wrote.
    pub(super) fn take(&mut self, call: &Call, machines: Vec<String>) {
        if self.is_over {
            return;
        }
        let mut marks = HashMap::new();
        let mut new = Vec::new();
        for id in machines {
            let Some(mark) = call.engine.folder(&id).journal_mark() else { continue };
            if self.marks.get(&id) != Some(&mark) {
                new.push(id.clone());
            }
            marks.insert(id, mark);
        }
        if new.is_empty() {
            self.marks = marks;
            return;
        }
        match self.write(call, &new) {
            Ok(()) => self.marks = marks,
            // Somebody else writes for long; it is looked for again.
            Err(error) if error.is_busy() => {}
            Err(error) => {
                call.report.warn(&format!("what runtimes tell is not shown: {error}"));
                self.is_over = true;
            }
        }
    }

    fn write(&mut self, call: &Call, machines: &[String]) -> Result<(), StoreError> {
        let (home, now_ms) = (call.context.home(), call.context.clock.unix_ms());
        let store = match &mut self.store {
            Some(store) => store,
            None => self.store.insert(Store::open(home, now_ms)?),
        };
        let moment = Moment { run: None, now_ms, home };
        store.write(|db| {
            machines.iter().try_for_each(|id| journal::take(db, id, moment))?;
            retention::trim_events(db, now_ms)
        })
    }
}
