//! A boot goes to another driver where the first machine after a proof did not even start.

use schema::launch::DriverName;
use schema::lifecycle::Phase;
use schema::name::InstanceName;
use schema::project::{DriverChoice, Sandbox};
use schema::record::Record;

use super::Host;
use super::boot::RELEASED_MAX;
use crate::disks::{self, Purpose};
use crate::drivers::{Drivers, said};
use crate::execute::world::StepError;

/// The stage of a machine that did not come as far as its guest's first process.
pub(super) const START: &str = "start";

impl Host {
    /// Gives a machine that did not start another driver and what the first one may have taken along;
    /// tells whether there is one.
    pub(super) async fn goes_on(
        &self,
        name: &InstanceName,
        (id, want): (&str, &Sandbox),
        error: &StepError,
    ) -> Result<bool, StepError> {
        let driver = self.driver(name)?;
        let is_free = self.wish.driver.is_none() && want.driver == DriverChoice::Auto;
        if !is_free || !is_of_driver(error) {
            return Ok(false);
        }
        let why = &error.report.message;
        let Some(next) = Drivers::of(&self.context).distrust(&driver, why).await else {
            return Ok(false);
        };
        self.warnings.warn(&format!(
            "{name} did not start on {}, which was proved: {why}; it is tried once more on {}",
            said(driver.name, driver.accelerator),
            said(next.name, next.accelerator),
        ));
        for (name, its) in self.drivers.borrow_mut().iter_mut().filter(|(_, its)| **its == driver) {
            let want = self.wish.project.sandboxes.get(name);
            if want.is_some_and(|want| want.driver == DriverChoice::Auto) {
                its.clone_from(&next);
            }
        }
        // A machine that leaves nothing took its disk along.
        let folder = self.folder(id);
        drop(folder.released_within(RELEASED_MAX).await);
        if !folder.upper().exists() {
            disks::make(self.context.home(), Purpose::Upper, want.upper.0, &folder.upper())
                .map_err(|error| StepError::from("msb::host::disk-space", "image", &error))?;
        }
        Ok(true)
    }
}

/// Tells whether a machine failed before its guest's first process wrote a byte.
pub(super) fn is_of_start(record: &Record) -> bool {
    let is_machine = record.driver != DriverName::Process && record.started_at_ms.is_some();
    is_machine && record.phase == Phase::Failed && record.first_byte_at_ms.is_none()
}

fn is_of_driver(error: &StepError) -> bool {
    error.report.stage == START || error.report.code.starts_with("msb::driver::")
}
