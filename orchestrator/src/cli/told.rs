//! What runtimes wrote down, taken over while somebody follows the events.

use std::collections::HashMap;

use super::call::Call;
use super::failure::{Failure, first};
use crate::context::Clock as _;
use crate::engine::Troubles;
use crate::store::events::Moment;
use crate::store::{Store, StoreError, journal, retention};

/// What was taken over; nothing yet at first.
#[derive(Default)]
pub(super) struct Told {
    /// The state, opened to write to it once there is something to take over.
    store: Option<Store>,
    /// Whether the state cannot be written to, of which was told.
    is_read_only: bool,
    /// How each journal was when it was looked at last.
    marks: HashMap<String, (u64, u64)>,
}

impl Told {
    /// Takes over what is new of these machines.
    ///
    /// # Errors
    /// The state cannot be opened.
    pub(super) fn take(&mut self, call: &Call, machines: Vec<String>) -> Result<(), Failure> {
        let mut marks = HashMap::new();
        let mut new = Vec::new();
        for id in machines {
            let Some(mark) = call.engine.folder(&id).journal_mark() else { continue };
            if self.marks.get(&id) != Some(&mark) {
                new.push(id.clone());
            }
            marks.insert(id, mark);
        }
        if !new.is_empty() && !self.is_read_only && !self.write(call, &new)? {
            return Ok(());
        }
        self.marks = marks;
        Ok(())
    }

    /// Writes it down, and tells whether that was done; somebody else may be writing for long.
    fn write(&mut self, call: &Call, machines: &[String]) -> Result<bool, Failure> {
        let (home, now_ms) = (call.context.home(), call.context.clock.unix_ms());
        let store = match &mut self.store {
            Some(store) => store,
            None => match Store::open(home, now_ms) {
                Ok(store) => self.store.insert(store),
                Err(StoreError::ReadOnly { .. }) => {
                    call.report
                        .warn("the state cannot be written: what runtimes tell is not shown");
                    self.is_read_only = true;
                    return Ok(true);
                }
                Err(error) => return Err(first(Troubles::from(error))),
            },
        };
        let moment = Moment { run: None, now_ms, home };
        let written = store.write(|db| {
            machines.iter().try_for_each(|id| journal::take(db, id, moment))?;
            retention::trim_events(db, now_ms)
        });
        match written {
            Err(error) if !error.is_busy() => Err(first(Troubles::from(error))),
            written => Ok(written.is_ok()),
        }
    }
}
