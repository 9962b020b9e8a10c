//! What a wish refers to outside its files: images in the store, values of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use schema::failure::Report;
use schema::launch::DriverName;
use schema::name::{EnvKey, InstanceName};
use schema::project::{EnvValue, Image, ImageRef, Place, Sandbox};

use super::{Troubles, contents};
use crate::context::Context;
use crate::observe::Source;
use crate::plan::Wish;
use crate::sources::lines;
use crate::store::{Store, atomic};

/// The longest value that a command can be given; a longer one is refused, never cut.
const VALUE_BYTES_MAX: u64 = 131_071;

/// The largest file of an environment.
const ENV_FILE_BYTES_MAX: u64 = 1 << 20;

/// Opens without waiting for somebody at the other end.
pub(super) const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// The bytes of the key that digests of values are made with.
pub(super) const KEY_BYTES: usize = 32;

/// The manifest digests of images as far as they are known, and which the store does not have.
pub(super) type Images = (BTreeMap<ImageRef, Option<String>>, BTreeSet<ImageRef>);

/// Returns what the images are that the wish names.
///
/// The test driver needs no root of ours, so it is not missing there.
pub(super) fn images(store: Option<&mut Store>, wish: &Wish) -> Result<Images, Troubles> {
    let mut store = store;
    let (mut found, mut absent) = (BTreeMap::new(), BTreeSet::new());
    let named = wish.project.sandboxes.values().filter_map(|sandbox| sandbox.root.image());
    let named: BTreeMap<&ImageRef, &Image> = named.map(|image| (&image.reference, image)).collect();
    for (reference, image) in named {
        let entry = match store.as_deref_mut() {
            None => None,
            Some(store) => wish.pins.find(store.catalog(), image).map_err(|error| {
                Troubles::of(Report::of("msb::state::unusable", "image", &error))
            })?,
        };
        let digest = entry.map(|entry| entry.manifest_digest);
        let process = wish.driver == Some(DriverName::Process);
        if digest.is_none() && process && matches!(reference, ImageRef::Builtin(_)) {
            continue;
        }
        if digest.is_none() {
            absent.insert(reference.clone());
        }
        found.insert(reference.clone(), digest.or_else(|| wish.pins.digest(image)));
    }
    Ok((found, absent))
}

/// Returns where the lock pins what the wish names.
pub(super) fn locked(wish: &Wish) -> BTreeMap<ImageRef, Place> {
    let images = wish.project.sandboxes.values().filter_map(|sandbox| sandbox.root.image());
    let pinned = |image: &Image| Some((image.reference.clone(), wish.pins.place(image)?));
    images.filter_map(pinned).collect()
}

/// Returns today's digests of the values that the wish only refers to.
pub(super) fn digests(context: &Context, wish: &Wish) -> BTreeMap<(InstanceName, String), Source> {
    let key = key(context);
    let mut found = contents::of(wish, key.as_ref());
    let Some(key) = key else { return found };
    for (name, sandbox) in &wish.project.sandboxes {
        for (variable, value) in sandbox.env.iter().filter(|(_, value)| value.is_digested()) {
            let source = match read_source(context, value) {
                Some(bytes) => Source::Digest(digest(&key, &bytes)),
                None => Source::Missing,
            };
            found.insert((name.clone(), format!("env.{variable}")), source);
        }
        if !sandbox.env_files.is_empty() {
            let source = env_files(&key, sandbox);
            found.insert((name.clone(), "env-file".to_owned()), source);
        }
    }
    found
}

/// Returns today's digest of what a sandbox's environment files hold, in their order.
fn env_files(key: &[u8; KEY_BYTES], sandbox: &Sandbox) -> Source {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for path in &sandbox.env_files {
        let Some(bytes) = regular_file(path, ENV_FILE_BYTES_MAX) else { return Source::Missing };
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    Source::Digest(hasher.finalize().to_hex().to_string())
}

/// Returns the variables that a sandbox's environment files hold; later files win.
///
/// # Errors
/// The first file that cannot be read, and why.
pub(crate) fn read_env_files(sandbox: &Sandbox) -> Result<BTreeMap<EnvKey, Vec<u8>>, Box<Report>> {
    let mut found = BTreeMap::new();
    for path in &sandbox.env_files {
        let refused = |why: String| {
            Box::new(Report {
                code: "msb::env::file".to_owned(),
                stage: "resolve".to_owned(),
                message: format!("cannot use the environment file {}", path.display()),
                causes: vec![why],
                hints: vec!["Write KEY=VALUE, one a line, without quotes.".to_owned()],
                ..Report::default()
            })
        };
        let absent = || "it is no file, cannot be read, or has more than 1 MiB".to_owned();
        let bytes = regular_file(path, ENV_FILE_BYTES_MAX).ok_or_else(|| refused(absent()))?;
        let check = |key: &str| EnvKey::parse(key).map(|_| ()).map_err(|error| error.to_string());
        let pairs = lines::pairs(&bytes, check).map_err(|error| refused(error.to_string()))?;
        for (key, value) in pairs {
            if value.len() as u64 > VALUE_BYTES_MAX {
                return Err(refused(format!("{key} is longer than {VALUE_BYTES_MAX} bytes")));
            }
            if let Ok(key) = EnvKey::parse(key) {
                found.insert(key, value.as_bytes().to_vec());
            }
        }
    }
    Ok(found)
}

/// Returns the digests of one sandbox's values, to be remembered; makes the key where it is not there.
pub(crate) fn sensitive_digests(
    context: &Context,
    wish: &Wish,
    name: &InstanceName,
) -> BTreeMap<String, String> {
    let Some(sandbox) = wish.project.sandboxes.get(name) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for (variable, value) in sandbox.env.iter().filter(|(_, value)| value.is_digested()) {
        if let (Some(key), Some(bytes)) = (made_key(context), read_source(context, value)) {
            found.insert(format!("env.{variable}"), digest(&key, &bytes));
        }
    }
    if !sandbox.env_files.is_empty()
        && let Some(key) = made_key(context)
        && let Source::Digest(digest) = env_files(&key, sandbox)
    {
        found.insert("env-file".to_owned(), digest);
    }
    found
}

/// Returns the digests of what the mounted files of one sandbox hold, where that counts, to be
/// remembered.
pub(crate) fn content_digests(context: &Context, sandbox: &Sandbox) -> BTreeMap<String, String> {
    let followed = || sandbox.mounts.iter().filter_map(|mount| Some((mount, mount.followed()?)));
    if followed().next().is_none() {
        return BTreeMap::new();
    }
    let Some(key) = made_key(context) else { return BTreeMap::new() };
    let digests = followed().filter_map(|(mount, file)| match contents::read(file, Some(&key))? {
        Source::Digest(digest) => Some((mount.content_path(), digest)),
        Source::Missing | Source::TooLarge => None,
    });
    digests.collect()
}

/// Reads a value that a file only refers to; `None` where it is not there or too long.
pub(crate) fn read_source(context: &Context, value: &EnvValue) -> Option<Vec<u8>> {
    match value {
        EnvValue::Literal(text) => Some(text.clone().into_bytes()),
        EnvValue::FromEnv(name) => {
            context.environment.raw(name).map(|text| text.as_bytes().to_vec())
        }
        EnvValue::FromFile(path) => regular_file(path, VALUE_BYTES_MAX),
        // The value of a secret has no way into a guest.
        EnvValue::Secret(_) => None,
    }
}

/// Reads a file that is one and no more; a pipe without a writer is never waited for.
fn regular_file(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    let file = File::options().read(true).custom_flags(NONBLOCK).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes).ok()?;
    (read as u64 <= bytes_max).then_some(bytes)
}

fn digest(key: &[u8; KEY_BYTES], bytes: &[u8]) -> String {
    blake3::keyed_hash(key, bytes).to_hex().to_string()
}

fn key(context: &Context) -> Option<[u8; KEY_BYTES]> {
    fs::read(context.home().join("db/digest.key")).ok()?.try_into().ok()
}

fn made_key(context: &Context) -> Option<[u8; KEY_BYTES]> {
    key(context).or_else(|| {
        let bytes = atomic::random(KEY_BYTES).ok()?;
        let path = context.home().join("db/digest.key");
        let made = path.with_extension(format!("key.{}", std::process::id()));
        atomic::write(&made, &bytes).ok()?;
        // The first of two commands wins; a link never replaces.
        drop(fs::hard_link(&made, &path));
        drop(fs::remove_file(&made));
        key(context)
    })
}
