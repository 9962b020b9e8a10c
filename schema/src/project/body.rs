//! A definition with its digest beside it: made once, shared by all instances of one sandbox.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::sandbox::Sandbox;

/// See the module. A clone shares what it is a clone of until it is written to; two of them are
/// equal by what they say.
#[derive(Clone, Debug)]
pub struct Body(Arc<Kept>);

#[derive(Clone, Debug)]
struct Kept {
    sandbox: Sandbox,
    digest: OnceLock<String>,
}

impl Body {
    /// Returns a body that says what `sandbox` says.
    #[must_use]
    pub fn of(sandbox: Sandbox) -> Self {
        Self(Arc::new(Kept { sandbox, digest: OnceLock::new() }))
    }

    /// Returns the body of a stored definition, whose digest is known.
    #[must_use]
    pub fn stored(sandbox: Sandbox, digest: String) -> Self {
        Self(Arc::new(Kept { sandbox, digest: digest.into() }))
    }

    /// Returns the digest of the definition, see [`Sandbox::digest`]; counted at most once.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.0.digest.get_or_init(|| self.0.sandbox.digest())
    }

    /// Tells whether both are the very same, without looking at what they say.
    #[must_use]
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Body {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.0.sandbox
    }
}

impl DerefMut for Body {
    fn deref_mut(&mut self) -> &mut Sandbox {
        let kept = Arc::make_mut(&mut self.0);
        kept.digest = OnceLock::new();
        &mut kept.sandbox
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.0.sandbox == other.0.sandbox
    }
}

impl Eq for Body {}

impl From<Sandbox> for Body {
    fn from(sandbox: Sandbox) -> Self {
        Self::of(sandbox)
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.sandbox.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Sandbox::deserialize(deserializer).map(Self::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{ImageRef, Kind};
    use crate::units::Bytes;

    #[test]
    fn an_edit_makes_another_body_and_leaves_the_first() {
        let web = Body::of(Sandbox::new(Kind::Service, ImageRef::parse("redis:7").unwrap()));
        let mut more = web.clone();
        assert!(more.is_shared_with(&web));
        assert_eq!(more.digest(), web.digest());
        more.memory.size = Bytes::gib(1);
        assert_ne!(web, more);
        assert_ne!(web.digest(), more.digest());
        more.memory.size = web.memory.size;
        assert!(more == web && !more.is_shared_with(&web));
        assert_eq!(more.digest(), web.digest());
    }
}
