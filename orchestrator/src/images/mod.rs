//! Images: from an archive to verified blobs and one root a machine can mount.
//!
//! ```text
//! archive ─▶ layout ─▶ verified blobs ─▶ builder (a confined child) ─▶ root
//!                            └────────── catalogue, written last ───────┘
//! ```
//!
//! What strangers wrote is parsed strictly and with limits. No layer is ever
//! unpacked into a host folder, and nothing has a name before it is whole.

mod again;
pub mod alone;
mod archive;
pub mod builder;
pub mod cache;
pub mod catalog;
pub mod config;
mod confine;
pub mod digest;
mod draft;
mod erofs;
mod fetch;
mod job;
pub(crate) mod json;
mod layers;
mod layout;
pub mod load;
pub(crate) mod media;
mod merge;
mod prune;
pub mod pull;
mod ready;
mod recipe;
mod save;
mod sharing;
mod source;
mod spool;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;
mod using;
mod verify;

pub use archive::ArchiveError;
pub use builder::{BuildError, Builder};
pub use cache::{ImagesHome, RootError, RootImage, root_for};
pub use catalog::{Catalog, CatalogError, ImageEntry, LayerEntry, ManifestEntry, RootEntry};
pub use config::ImageConfig;
pub use digest::Digest;
pub use fetch::FetchError;
pub use layout::LayoutError;
pub use load::{LoadError, LoadOptions, Loaded, Progress, host_platform, load, load_file};
pub use prune::prune_leftovers;
pub use pull::{PullError, Pulled, Shared, Step, Wanted, pull};
pub use save::{Form, SaveError, save, save_file};
pub use sweep::{Reach, Sweep, SweepError, Swept};
pub use using::{Alone, Using};
pub use verify::{Fault, VerifyError, verify};
