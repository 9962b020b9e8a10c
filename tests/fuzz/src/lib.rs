//! Any bytes end in a tree or in errors: what is held against every input, fuzzed or kept.
//!
//! ```text
//! run ──▶ within the cost of one input ──▶ kdl │ yaml │ resolve │ both-readers │ archive │ share │ dns │ frames │ policy
//!          (a second, 256 MiB)              │ layers │ image-json │ load: what must hold, as panics
//! ```
//!
//! `tests/fuzz/run` has libFuzzer invent the inputs; `tests/corpus.rs` replays those that are kept.

#![expect(clippy::panic, reason = "a promise that does not hold ends the input")]

mod alone;
mod archive;
mod both_readers;
mod cost;
mod dns;
mod document;
mod facts;
mod frames;
mod ground;
mod guard;
mod image_json;
mod layers;
mod load;
mod policy;
mod pressed;
mod resolve;
mod share;
mod sys;
mod tree;

pub use both_readers::{Answer, Theirs, let_theirs_panic};
pub use document::{Document, Meant, ours};
pub use guard::is_below_guard;
pub use layers::root;

use cost::Whose;
use schema::sandboxfile::source::Format;

/// What an input is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Our own reader of KDL, up to the tree.
    Kdl,
    /// The reader of YAML, up to the tree.
    Yaml,
    /// Both formats, up to the project.
    Resolve,
    /// Our reader of KDL and the package's, side by side.
    BothReaders,
    /// An archive of a stranger, unpacked below a folder.
    Archive,
    /// The calls of a guest's kernel, done in a folder that is shared.
    Share,
    /// Questions of a guest and answers of servers, given to the resolver.
    Dns,
    /// What a guest puts on its wire, given to the stack at its far end.
    Frames,
    /// Rules and ports of the command line, and what a policy of them decides.
    Policy,
    /// Layers of an image, merged and written as a root.
    Layers,
    /// The documents of an image.
    ImageJson,
    /// A whole archive of images.
    Load,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 12] = [
        Self::Kdl,
        Self::Yaml,
        Self::Resolve,
        Self::BothReaders,
        Self::Archive,
        Self::Share,
        Self::Dns,
        Self::Frames,
        Self::Policy,
        Self::Layers,
        Self::ImageJson,
        Self::Load,
    ];
}

/// Gives an input to a target.
///
/// # Panics
/// When something does not hold, or the input costs too much.
pub fn run(target: Target, bytes: &[u8]) {
    let whose = match target {
        Target::Layers | Target::Load => Whose::Process,
        Target::Kdl
        | Target::Yaml
        | Target::Resolve
        | Target::BothReaders
        | Target::Archive
        | Target::Share
        | Target::Dns
        | Target::Frames
        | Target::Policy
        | Target::ImageJson => Whose::Thread,
    };
    cost::within_limits(whose, || match target {
        Target::Kdl => tree::check(bytes, Format::Kdl),
        Target::Yaml => tree::check(bytes, Format::Yaml),
        Target::Resolve => {
            resolve::check(bytes, Format::Kdl);
            resolve::check(bytes, Format::Yaml);
        }
        Target::BothReaders => both_readers::check(bytes),
        Target::Archive => archive::check(bytes),
        Target::Share => share::check(bytes),
        Target::Dns => dns::check(bytes),
        Target::Frames => frames::check(bytes),
        Target::Policy => policy::check(bytes),
        Target::Layers => layers::check(bytes),
        Target::ImageJson => image_json::check(bytes),
        Target::Load => load::check(bytes),
    });
}

/// Takes an input apart into steps: a byte that chooses one, a byte that says how, two of its length, and
/// that many bytes.
fn steps(bytes: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&[step, how, low, high], after) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes([low, high])).min(after.len());
        let (body, behind) = after.split_at(length);
        rest = behind;
        Some((step, how, body))
    })
}
