//! What a wish refers to outside its files: images in the store, values of the host.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;

use schema::launch::DriverName;
use schema::name::InstanceName;
use schema::project::{EnvValue, Image, ImageRef, Place};

use super::Troubles;
use crate::context::Context;
use crate::observe::Source;
use crate::plan::Wish;
use crate::store::{Store, atomic};

/// The longest value that a command can be given; a longer one is refused, never cut.
const VALUE_BYTES_MAX: u64 = 131_071;

/// The bytes of the key that digests of values are made with.
const KEY_BYTES: usize = 32;

/// Returns the manifest digest of each image that the wish names, as far as it is in the store.
///
/// The test driver needs no root of ours, so it is not missing there.
pub(super) fn images(
    store: Option<&mut Store>,
    wish: &Wish,
) -> Result<BTreeMap<ImageRef, Option<String>>, Troubles> {
    let mut store = store;
    let mut found = BTreeMap::new();
    for sandbox in wish.project.sandboxes.values() {
        let image = sandbox.root.image().filter(|image| !found.contains_key(&image.reference));
        let Some(image) = image else { continue };
        let reference = &image.reference;
        let entry = match store.as_deref_mut() {
            None => None,
            Some(store) => wish.pins.find(store.catalog(), image).map_err(|error| {
                Troubles::of(schema::failure::Report::of("msb::state::unusable", "image", &error))
            })?,
        };
        let digest = entry.map(|entry| entry.manifest_digest);
        let process = wish.driver == Some(DriverName::Process);
        if digest.is_none() && process && matches!(reference, ImageRef::Builtin(_)) {
            continue;
        }
        found.insert(reference.clone(), digest);
    }
    Ok(found)
}

/// Returns where the lock pins what the wish names.
pub(super) fn locked(wish: &Wish) -> BTreeMap<ImageRef, Place> {
    let images = wish.project.sandboxes.values().filter_map(|sandbox| sandbox.root.image());
    let pinned = |image: &Image| Some((image.reference.clone(), wish.pins.place(image)?));
    images.filter_map(pinned).collect()
}

/// Returns today's digests of the values that the wish only refers to.
pub(super) fn digests(context: &Context, wish: &Wish) -> BTreeMap<(InstanceName, String), Source> {
    let Some(key) = key(context) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for (name, sandbox) in &wish.project.sandboxes {
        for (variable, value) in sandbox.env.iter().filter(|(_, value)| value.is_digested()) {
            let source = match read_source(context, value) {
                Some(bytes) => Source::Digest(digest(&key, &bytes)),
                None => Source::Missing,
            };
            found.insert((name.clone(), format!("env.{variable}")), source);
        }
    }
    found
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
    found
}

/// Reads a value that a file only refers to; `None` where it is not there or too long.
pub(crate) fn read_source(context: &Context, value: &EnvValue) -> Option<Vec<u8>> {
    match value {
        EnvValue::Literal(text) => Some(text.clone().into_bytes()),
        EnvValue::FromEnv(name) => {
            context.environment.raw(name).map(|text| text.as_bytes().to_vec())
        }
        EnvValue::FromFile(path) => {
            let kind = fs::metadata(path).ok()?.file_type();
            if !kind.is_file() || kind.is_fifo() {
                return None;
            }
            let mut bytes = Vec::new();
            let file = File::open(path).ok()?;
            let read = file.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
            (read as u64 <= VALUE_BYTES_MAX).then_some(bytes)
        }
        // The value of a secret has no way into a guest.
        EnvValue::Secret(_) => None,
    }
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
