//! What the machines of a project are told of each other while they run.

use schema::control::Update;
use schema::launch::DriverName;
use schema::name::InstanceName;
use schema::project::Body;

use super::Host;
use crate::execute::world::StepError;
use crate::store::inventory;

impl Host {
    /// Tells the machines that live which of them this one may call, and that it may be called: that
    /// stands in the records of both ends. Whoever does not take it is told again by its next boot.
    pub(super) async fn tell_neighbours(&self, name: &InstanceName) -> Result<(), StepError> {
        for other in self.neighbours.get(name).into_iter().flatten() {
            // By what it was last told to be: what else is new of it is for a step of its own.
            let (Some((id, machine)), Some(want)) = (self.current(other)?, self.as_applied(other)?)
            else {
                continue;
            };
            let record = self.folder(&id).record()?;
            let is_machine = record.is_some_and(|record| record.driver != DriverName::Process);
            if !is_machine || !self.is_alive(&id)? {
                continue;
            }
            let network = self.link(other, &want, &id)?;
            let told = machine.update(Update { network, ..Update::default() }).await;
            match told.map(|(_, refused)| refused) {
                Ok(refused) if refused.is_empty() => {}
                Ok(refused) => tracing::warn!(%other, ?refused, "a sibling was not told"),
                Err(error) => tracing::warn!(%other, %error, "a sibling was not told"),
            }
        }
        Ok(())
    }

    /// Returns what was last applied of a sandbox.
    fn as_applied(&self, name: &InstanceName) -> Result<Option<Body>, StepError> {
        let mut store = self.store.borrow_mut();
        let applied = store.read(|db| {
            let row = inventory::sandbox_by_name(db, &self.project_id, name)?;
            match row.and_then(|row| row.applied) {
                Some(it) => inventory::definition_of(db, &it),
                None => Ok(None),
            }
        })?;
        Ok(applied)
    }
}
