//! Step `network`: the loopback interface; a machine has no other device yet.

use super::{Attempt as _, Booting, StepError};
use crate::sys::network::bring_loopback_up;

pub(super) fn run(_: &mut Booting) -> Result<(), StepError> {
    bring_loopback_up().attempt(|| "bringing lo up".into())
}
