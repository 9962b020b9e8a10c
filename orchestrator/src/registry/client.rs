//! What can be asked of registries, without waiting being anybody else's matter.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use image::digest::Digest;
use image::media::INDEX_DEPTH_MAX;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use schema::project::{ImageRef, RegistryRef};

use super::access::{Access, Question};
use super::blob;
use super::credentials::{Credential, Secret, Sources};
use super::documents::{self, Document, Entry, Read};
use super::engine::Engine;
use super::error::RegistryError;
use super::settings::Settings;
use super::transport::{Asked, document, tried};

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// The manifest of an image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// Its bytes as they came.
    pub bytes: Vec<u8>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, from the bottom up.
    pub layers: Vec<Descriptor>,
}

/// What a reference stands for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the platform's manifest.
    pub digest: Digest,
    /// The digest of the index it was chosen from.
    pub index: Option<Digest>,
}

/// How many indexes are looked into for one image.
const INDEXES_MAX: usize = 32;
/// How many documents are kept, so that none is asked for twice in a row.
const KEPT_MAX: usize = 8;
/// Says which manifest a tag stands for.
const DIGEST_HEADER: &str = "docker-content-digest";

/// See the module. It may be asked from several threads at once, but not by a task of a runtime.
#[derive(Debug, Default)]
pub struct Registry {
    settings: Settings,
    engine: OnceLock<Engine>,
    hosts: Mutex<BTreeMap<String, Arc<Access>>>,
    kept: Mutex<Vec<(String, Document)>>,
}

impl Registry {
    /// Returns a door to all registries; nothing is connected before something is asked.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Returns where logins are looked up.
    #[must_use]
    pub const fn logins(&self) -> &Sources {
        &self.settings.credentials
    }

    /// Asks a registry whether a login is one.
    ///
    /// # Errors
    /// It is not, or the registry cannot be asked.
    pub fn check(&self, host: &str, user: &str, password: Secret) -> Result<(), RegistryError> {
        let credential = Credential::Password { user: user.to_owned(), password };
        let access = Access::named(host, &self.settings, credential)?;
        let (path, repository, what) = ("", "", "a login");
        let question =
            Question { method: Method::GET, path, repository, what, accept: "*/*", from: 0 };
        self.engine()?.wait(tried(async || access.ask(&question).await.map(drop)))
    }

    /// Returns the digest of the platform's manifest: one HEAD where the reference names a
    /// manifest, and the indexes where it names one.
    ///
    /// # Errors
    /// The registry does not give it, or has no image for the platform.
    pub fn resolve(&self, reference: &ImageRef, platform: &str) -> Result<Resolved, RegistryError> {
        let image = remote(reference)?;
        let access = self.access(&image.host)?;
        self.engine()?.wait(async {
            let target = target(image, None);
            let (kind, digest) = self.head(&access, image, &target).await?;
            match digest {
                Some(digest) if documents::is_manifest(&kind) => {
                    Ok(Resolved { digest, index: None })
                }
                named => {
                    let target = named.map_or(target, |digest| digest.to_string());
                    let (manifest, index) = self.find(&access, image, &target, platform).await?;
                    Ok(Resolved { digest: manifest.digest, index })
                }
            }
        })
    }

    /// Returns the platform's manifest; `digest` names it, or an index, in place of the tag.
    ///
    /// # Errors
    /// The registry does not give it, or has no image for the platform.
    pub fn manifest(
        &self,
        reference: &ImageRef,
        digest: Option<&Digest>,
        platform: &str,
    ) -> Result<Manifest, RegistryError> {
        let image = remote(reference)?;
        let access = self.access(&image.host)?;
        let target = target(image, digest);
        let found = self.engine()?.wait(self.find(&access, image, &target, platform));
        found.map(|(manifest, _)| manifest)
    }

    /// Hands the bytes of a part from byte `from` on to `sink`, exactly as many as its size says.
    ///
    /// A connection that breaks off is made again where it was. Whether the bytes are those of the
    /// digest is for whoever has them all to see.
    ///
    /// # Errors
    /// The registry does not give them all, or `sink` does not take them.
    pub fn blob(
        &self,
        reference: &ImageRef,
        part: &Descriptor,
        from: u64,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), RegistryError> {
        let image = remote(reference)?;
        let access = self.access(&image.host)?;
        self.engine()?.wait(blob::read(&access, &image.path, part, from, sink))
    }

    fn engine(&self) -> Result<&Engine, RegistryError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::start().map_err(RegistryError::Prepare)?;
        Ok(self.engine.get_or_init(|| engine))
    }

    fn access(&self, host: &str) -> Result<Arc<Access>, RegistryError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(access) = hosts.get(host) {
            return Ok(Arc::clone(access));
        }
        let access = Arc::new(Access::new(host, &self.settings)?);
        hosts.insert(host.to_owned(), Arc::clone(&access));
        Ok(access)
    }

    /// Returns what a target is, and its digest, as the registry says.
    async fn head(
        &self,
        access: &Access,
        image: &RegistryRef,
        target: &str,
    ) -> Result<(String, Option<Digest>), RegistryError> {
        let what = words(image, target);
        let path = path(image, target);
        let accept = documents::accepted();
        let repository = image.path.as_str();
        let (method, from) = (Method::HEAD, 0);
        let question =
            Question { method, path: &path, repository, what: &what, accept: &accept, from };
        let response = tried(async || access.ask(&question).await).await?;
        let text = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let (kind, said) = (kind(text("content-type")), Digest::parse(text(DIGEST_HEADER)));
        match (Digest::parse(target), said) {
            (Some(expected), Some(found)) if expected != found => {
                Err(access.asked(&what).refused("it is said to have another digest"))
            }
            (Some(expected), _) => Ok((kind, Some(expected))),
            (None, said) => Ok((kind, said)),
        }
    }

    /// Returns the platform's manifest, and the digest of the index it was chosen from.
    async fn find(
        &self,
        access: &Access,
        image: &RegistryRef,
        target: &str,
        platform: &str,
    ) -> Result<(Manifest, Option<Digest>), RegistryError> {
        let top = self.document(access, image, target).await?;
        let what = words(image, target);
        let entries = match documents::read(access.asked(&what), &top)? {
            Read::Manifest(manifest) => return Ok((manifest, None)),
            Read::Index(entries) => entries,
        };
        let mut search = Search { wanted: platform, found: Vec::new(), looked: 0 };
        let manifest = self.choose(access, image, entries, &mut search).await?;
        let none = || RegistryError::Unresolved {
            reference: ImageRef::Registry(image.clone()).short(),
            wanted: platform.to_owned(),
            found: search.found.clone(),
        };
        manifest.map(|manifest| (manifest, Some(top.digest))).ok_or_else(none)
    }

    /// Returns the first manifest for the platform: of those whose platform is told, then of
    /// what lies in further indexes, then of those whose platform nobody tells.
    async fn choose(
        &self,
        access: &Access,
        image: &RegistryRef,
        entries: Vec<Entry>,
        search: &mut Search<'_>,
    ) -> Result<Option<Manifest>, RegistryError> {
        let mut waiting: Vec<(usize, Entry)> = entries.into_iter().map(|one| (0, one)).collect();
        let mut untold = None;
        while !waiting.is_empty() {
            let told = waiting.iter().position(|(_, one)| !one.is_index && search.fits(one));
            if let Some(at) = told {
                return self.entry(access, image, &waiting[at].1).await.map(Some);
            }
            for (_, one) in waiting.iter().filter(|(_, one)| !one.is_index) {
                search.note(one);
                if one.platform.is_none() && untold.is_none() {
                    untold = Some(one.clone());
                }
            }
            waiting.retain(|(_, one)| one.is_index && (one.platform.is_none() || search.fits(one)));
            if waiting.is_empty() {
                break;
            }
            let (depth, index) = waiting.remove(0);
            let target = index.digest.to_string();
            let what = words(image, &target);
            let asked = access.asked(&what);
            search.look(asked, depth)?;
            let document = self.document(access, image, &target).await?;
            match documents::read(asked, &document)? {
                Read::Manifest(_) => return Err(asked.refused("its index calls it an index")),
                Read::Index(more) => {
                    let more = more.into_iter().map(|one| (depth + 1, one));
                    waiting.splice(0..0, more.collect::<Vec<_>>());
                }
            }
        }
        match untold {
            Some(entry) => self.entry(access, image, &entry).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the manifest that an entry names.
    async fn entry(
        &self,
        access: &Access,
        image: &RegistryRef,
        entry: &Entry,
    ) -> Result<Manifest, RegistryError> {
        let target = entry.digest.to_string();
        let what = words(image, &target);
        let document = self.document(access, image, &target).await?;
        match documents::read(access.asked(&what), &document)? {
            Read::Manifest(manifest) => Ok(manifest),
            Read::Index(_) => Err(access.asked(&what).refused("its index calls it a manifest")),
        }
    }

    /// Returns a document, held against the digest that was asked for or said.
    async fn document(
        &self,
        access: &Access,
        image: &RegistryRef,
        target: &str,
    ) -> Result<Document, RegistryError> {
        let wanted = Digest::parse(target);
        let key = format!("{}/{}", image.host, image.path);
        if let Some(wanted) = wanted {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let same = kept.iter().find(|(of, one)| *of == key && one.digest == wanted);
            if let Some((_, document)) = same {
                return Ok(document.clone());
            }
        }
        let (what, path) = (words(image, target), path(image, target));
        let accept = documents::accepted();
        let repository = image.path.as_str();
        let (method, from) = (Method::GET, 0);
        let question =
            Question { method, path: &path, repository, what: &what, accept: &accept, from };
        let asked = access.asked(&what);
        let found = tried(async || {
            let response = access.ask(&question).await?;
            let header = |name: &str| {
                let value = response.headers().get(name).and_then(|value| value.to_str().ok());
                value.unwrap_or_default().to_owned()
            };
            let media_type = kind(&header(CONTENT_TYPE.as_str()));
            let said = Digest::parse(&header(DIGEST_HEADER));
            let bytes = document(asked, response).await?;
            let digest = Digest::of(&bytes);
            match wanted.or(said) {
                Some(expected) if expected != digest => Err(damaged(asked, expected, digest)),
                _ => Ok(Document { digest, media_type, bytes }),
            }
        });
        let found = found.await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT_MAX - 1);
        kept.insert(0, (key, found.clone()));
        Ok(found)
    }
}

/// What is looked for in indexes, and what was seen.
struct Search<'a> {
    wanted: &'a str,
    found: Vec<String>,
    looked: usize,
}

impl Search<'_> {
    fn fits(&self, entry: &Entry) -> bool {
        entry.platform.as_deref().is_some_and(|one| documents::fits(one, self.wanted))
    }

    fn note(&mut self, entry: &Entry) {
        let platform = entry.platform.as_ref().filter(|one| documents::is_real(one));
        if let Some(platform) = platform.filter(|one| !self.found.contains(one)) {
            self.found.push(platform.clone());
        }
    }

    fn look(&mut self, asked: Asked<'_>, depth: usize) -> Result<(), RegistryError> {
        self.looked += 1;
        if depth == INDEX_DEPTH_MAX {
            return Err(asked.refused("indexes lie more than two deep in each other"));
        }
        if self.looked > INDEXES_MAX {
            return Err(asked.refused("it lies among more than 32 indexes"));
        }
        Ok(())
    }
}

fn remote(reference: &ImageRef) -> Result<&RegistryRef, RegistryError> {
    match reference {
        ImageRef::Registry(image) => Ok(image),
        ImageRef::Builtin(_) => Err(RegistryError::NoRegistry(reference.to_string())),
    }
}

/// Returns what a registry is asked for: a digest before a tag.
fn target(image: &RegistryRef, digest: Option<&Digest>) -> String {
    digest
        .map(Digest::to_string)
        .or_else(|| image.digest.clone())
        .or_else(|| image.tag.clone())
        .unwrap_or_else(|| "latest".to_owned())
}

fn path(image: &RegistryRef, target: &str) -> String {
    format!("{}/manifests/{target}", image.path)
}

/// Returns an image of a registry in words.
fn words(image: &RegistryRef, target: &str) -> String {
    let mark = if Digest::parse(target).is_some() { '@' } else { ':' };
    format!("{}{mark}{target}", image.path)
}

/// Returns a media type without its parameters.
fn kind(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn damaged(asked: Asked<'_>, expected: Digest, found: Digest) -> RegistryError {
    let (host, what) = (asked.host.to_owned(), asked.what.to_owned());
    RegistryError::Damaged { host, what, expected, found }
}
