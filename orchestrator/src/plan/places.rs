//! Where values were written, looked up when somebody asks.

use std::cell::LazyCell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use schema::project::Origins;

/// See the module.
#[derive(Clone)]
pub struct Places(Rc<Late>);

type Late = LazyCell<Origins, Box<dyn FnOnce() -> Origins>>;

impl Places {
    /// Returns places that are found by reading the files again.
    pub fn later(find: impl FnOnce() -> Origins + 'static) -> Self {
        Self(Rc::new(LazyCell::new(Box::new(find))))
    }
}

impl From<Origins> for Places {
    fn from(origins: Origins) -> Self {
        Self::later(|| origins)
    }
}

impl Deref for Places {
    type Target = Origins;

    fn deref(&self) -> &Origins {
        &self.0
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}
