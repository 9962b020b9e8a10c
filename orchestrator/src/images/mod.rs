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
pub mod builder;
pub mod cache;
pub mod catalog;
mod confine;
mod fetch;
mod job;
pub mod load;
mod prune;
pub mod pull;
mod ready;
mod save;
mod sharing;
mod sweep;
#[cfg(test)]
mod tests;
mod using;
mod verify;

pub use image::archive::ArchiveError;
pub use image::config::ImageConfig;
pub use image::digest::Digest;
pub use image::layout::LayoutError;

pub use builder::{BuildError, Builder};
pub use cache::{ImagesHome, RootError, RootImage, root_for};
pub use catalog::{Catalog, CatalogError, ImageEntry, LayerEntry, ManifestEntry, RootEntry};
pub use fetch::FetchError;
pub use load::{LoadError, LoadOptions, Loaded, Progress, host_platform, load, load_file};
pub use prune::prune_leftovers;
pub use pull::{PullError, Pulled, Shared, Step, Wanted, pull};
pub use save::{Form, SaveError, save, save_file};
pub use sweep::{Reach, Sweep, SweepError, Swept};
pub use using::{Alone, Using};
pub use verify::{Fault, VerifyError, verify};
