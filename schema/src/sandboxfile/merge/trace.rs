//! What was beaten while layers were laid over one another.

use crate::sandboxfile::tree::Span;

/// A value that a higher layer replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beaten {
    /// What it belonged to: `sandbox.web`.
    pub address: String,
    /// The key that was replaced, by its keys from the body inwards: `memory`, `env`, `PORT`.
    pub keys: Vec<String>,
    /// Where the lower value stands.
    pub at: Span,
    /// The layer that replaced it.
    pub by: String,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    address: String,
    layer: String,
    keys: Vec<String>,
    /// What was beaten, in the order in which that happened: the lowest first.
    pub beaten: Vec<Beaten>,
}

impl Trace {
    pub(super) fn enter(&mut self, address: &str, layer: &str) {
        address.clone_into(&mut self.address);
        layer.clone_into(&mut self.layer);
        self.keys.clear();
    }

    pub(super) fn push(&mut self, key: &str) {
        self.keys.push(key.to_owned());
    }

    pub(super) fn pop(&mut self) {
        self.keys.pop();
    }

    pub(super) fn beat(&mut self, at: Span, key: &str) {
        let mut keys = self.keys.clone();
        if !key.is_empty() {
            keys.push(key.to_owned());
        }
        let (address, by) = (self.address.clone(), self.layer.clone());
        self.beaten.push(Beaten { address, keys, at, by });
    }
}
