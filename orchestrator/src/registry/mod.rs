//! Registries: the one door to images that are elsewhere.
//!
//! ```text
//! Settings ─▶ Registry ─▶ transport ─▶ login (tokens, realms) ─▶ one request, bounded, tried again
//!                │
//!                └─▶ documents: index ─▶ manifest of the platform ─▶ descriptors ─▶ blobs
//! ```
//!
//! What a registry says is untrusted: bounded, parsed strictly, cleaned before it is shown, and
//! believed only where a digest proves it.

mod access;
mod blob;
mod challenge;
mod client;
mod credentials;
mod documents;
mod engine;
mod error;
mod keeper;
mod realm;
mod settings;
mod transport;
mod trust;

pub use client::{Descriptor, Manifest, Registry, Resolved};
pub use credentials::{Credential, CredentialsError, FILE_NAME, Known, Secret, Source, Sources};
pub use error::{RegistryError, Said, Wire};
pub use keeper::KeeperError;
pub use settings::{HostSettings, Proxies, Settings, host};
