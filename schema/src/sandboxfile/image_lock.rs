//! The image lock: which manifest each image of a project means, written down beside its files.
//!
//! ```kdl
//! lock 1 // written by msb; `msb lock --upgrade` moves digests
//! image "postgres:16" platform="linux/amd64" digest="sha256:5b1e…" config="sha256:90c4…" bytes=158302211 at="2026-11-20T08:14:00Z"
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::limits::Limits;
use super::problem::{Code, Problem, Problems, listed, nearest, shown};
use super::resolve::Failed;
use super::source::{Format, SourceFile, Sources, check_text};
use super::syntax::build;
use super::tree::{Entry, Origin, Scalar, Span};
use crate::project::{ImageRef, Place, Platform};

/// The name of the file, beside the first of the project's.
pub const FILE_NAME: &str = "Sandboxfile.lock";

/// The format that this program writes.
const FORMAT: u64 = 1;

/// The pinned images of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageLock {
    /// What each image is on each platform, in the order of the file.
    pub entries: BTreeMap<(ImageRef, Platform), Pinned>,
}

/// What an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The digest of its manifest.
    pub digest: String,
    /// The digest of its configuration.
    pub config: String,
    /// How many bytes are to be fetched for it.
    pub bytes: u64,
    /// When it was pinned, RFC 3339.
    pub at: String,
    /// Where it stands; `None` where no file has it yet.
    pub place: Option<Place>,
}

impl ImageLock {
    /// Reads a lock.
    ///
    /// # Errors
    /// Everything that is wrong with it, with its place; it is never taken as empty.
    pub fn read(file: &SourceFile, limits: &Limits) -> Result<Self, Box<Failed>> {
        let mut problems = Problems::new(limits.problems);
        let mut sources = Sources::default();
        let text = match check_text(&file.bytes, Format::Kdl, 0, limits) {
            Ok(text) => text,
            Err(failed) => {
                let (text, problem) = *failed;
                problems.push(problem);
                text
            }
        };
        sources.add(file.path.display().to_string(), text);
        let lock = if problems.has_errors() {
            None
        } else {
            let text = sources.files()[0].text.as_str();
            let tree = build::kdl(text, 0, limits, &mut problems);
            tree.map(|tree| {
                Reader { sources: &sources, problems: &mut problems }.lock(&tree.entries)
            })
        };
        match lock {
            Some(lock) if !problems.has_errors() => Ok(lock),
            _ => Err(Failed::boxed(problems, Arc::new(sources))),
        }
    }

    /// Returns the lock as its file holds it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            format!("lock {FORMAT} // written by msb; `msb lock --upgrade` moves digests\n");
        for ((reference, platform), pinned) in &self.entries {
            let Pinned { digest, config, bytes, at, place: _ } = pinned;
            let (reference, platform) = (reference.short(), platform.as_str());
            let _ = writeln!(
                text,
                "image \"{reference}\" platform=\"{platform}\" digest=\"{digest}\" \
                 config=\"{config}\" bytes={bytes} at=\"{at}\""
            );
        }
        text
    }

    /// Returns what an image is on a platform.
    #[must_use]
    pub fn get(&self, reference: &ImageRef, platform: Platform) -> Option<&Pinned> {
        self.entries.get(&(reference.clone(), platform))
    }
}

struct Reader<'s, 'p> {
    sources: &'s Sources,
    problems: &'p mut Problems,
}

/// The properties of an image, in their order.
const PROPERTIES: [&str; 5] = ["platform", "digest", "config", "bytes", "at"];

impl Reader<'_, '_> {
    fn error(&mut self, code: Code, message: String, at: Span, help: &str) {
        self.problems.push(Problem::error(code, message, at).help(help));
    }

    fn lock(&mut self, entries: &[Entry<'_>]) -> ImageLock {
        let mut lock = ImageLock::default();
        let start = Span { file: 0, start: 0, end: 0 };
        match entries.first() {
            Some(first) if first.key == "lock" => self.format(first),
            first => {
                let at = first.map_or(start, |first| first.key_span);
                let help = "begin it with `lock 1`, or make it anew with `msb lock`";
                self.error(Code::SCHEMA_MISSING_KEY, "a lock begins with `lock`".into(), at, help);
            }
        }
        let mut places: BTreeMap<(ImageRef, Platform), Span> = BTreeMap::new();
        for entry in entries.iter().skip(1) {
            if entry.key != "image" {
                let message = format!("a lock has no `{}`", shown(&entry.key));
                self.error(Code::SCHEMA_UNKNOWN_KEY, message, entry.key_span, "write `image`");
                continue;
            }
            let Some((key, pinned)) = self.image(entry) else { continue };
            if let Some(first) = places.insert(key.clone(), entry.key_span) {
                let (reference, platform) = (key.0.short(), key.1.as_str());
                let message = format!("{reference} for {platform} is pinned twice");
                let problem =
                    Problem::error(Code::SCHEMA_DUPLICATE_DEFINITION, message, entry.key_span)
                        .related(first, "first here");
                self.problems.push(problem.help("keep the line that counts"));
            }
            lock.entries.insert(key, pinned);
        }
        lock
    }

    fn format(&mut self, entry: &Entry<'_>) {
        let format = entry.items.first().map(|item| item.text.parse::<u64>());
        match format {
            Some(Ok(FORMAT)) => {}
            Some(Ok(newer)) => {
                let message = format!("lock {newer} is newer than this msb, which reads {FORMAT}");
                let at = entry.key_span;
                self.error(Code::SCHEMA_NEWER_FORMAT, message, at, "run `msb self update`");
            }
            Some(Err(_)) | None => {
                let message = "`lock` has a number".to_owned();
                self.error(Code::SCHEMA_SHAPE, message, entry.key_span, "write `lock 1`");
            }
        }
    }

    fn image(&mut self, entry: &Entry<'_>) -> Option<((ImageRef, Platform), Pinned)> {
        let help = "make the line anew with `msb lock`";
        let [name] = entry.items.as_slice() else {
            let message = "`image` names one image".to_owned();
            self.error(Code::SCHEMA_SHAPE, message, entry.key_span, help);
            return None;
        };
        for field in &entry.fields {
            let known = PROPERTIES.contains(&field.key.as_ref());
            if !known || field.origin != Origin::Property {
                let message = format!("`image` has no property `{}`", shown(&field.key));
                let near = nearest(&field.key, PROPERTIES);
                let problem = Problem::error(Code::SCHEMA_UNKNOWN_KEY, message, field.key_span);
                let problem = problem.nearest(near).help(format!("it has {}", listed(PROPERTIES)));
                self.problems.push(problem);
            }
        }
        let reference = match ImageRef::parse(&name.text) {
            Ok(reference) => Some(reference),
            Err(error) => {
                self.error(Code::VALUE_IMAGE, error.to_string(), name.span, help);
                None
            }
        };
        let platform = self.property(entry, "platform", "linux/amd64 or linux/arm64", |text| {
            Platform::ALL.into_iter().find(|platform| platform.as_str() == text)
        });
        let what = "`sha256:` and 64 digits";
        let manifest = self.property(entry, "digest", what, digest);
        let config = self.property(entry, "config", what, digest);
        let bytes = self.property(entry, "bytes", "a number", |text| text.parse().ok());
        let at = self.property(entry, "at", "a time", |text| Some(text.to_owned()));
        let place = Some(self.sources.place(entry.key_span));
        let pinned = Pinned { digest: manifest?, config: config?, bytes: bytes?, at: at?, place };
        Some(((reference?, platform?), pinned))
    }

    fn property<T>(
        &mut self,
        entry: &Entry<'_>,
        name: &'static str,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let field = entry.fields.iter().find(|field| field.key == name);
        let Some(item): Option<&Scalar<'_>> = field.and_then(|field| field.items.first()) else {
            let message = format!("the image has no `{name}`");
            let help = "make the line anew with `msb lock`";
            self.error(Code::SCHEMA_MISSING_KEY, message, entry.key_span, help);
            return None;
        };
        let value = read(&item.text);
        if value.is_none() {
            let message = format!("`{}` is not {what}", shown(&item.text));
            let help = "make the line anew with `msb lock`";
            self.error(Code::VALUE_TYPE, message, item.span, help);
        }
        value
    }
}

fn digest(text: &str) -> Option<String> {
    let hex = text.strip_prefix("sha256:")?;
    let is_digest = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_digest.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ImageLock, Box<Failed>> {
        let bytes = text.as_bytes().to_vec();
        let file = SourceFile { path: FILE_NAME.into(), bytes, format: Format::Kdl };
        ImageLock::read(&file, &Limits::default())
    }

    fn lock() -> ImageLock {
        let digest = format!("sha256:{}", "5b".repeat(32));
        let pinned = Pinned {
            config: digest.clone(),
            digest,
            bytes: 158_302_211,
            at: "2026-11-20T08:14:00.000Z".to_owned(),
            place: None,
        };
        let key = |name: &str, platform| (ImageRef::parse(name).unwrap(), platform);
        let entries = [
            (key("web:1.4", Platform::LinuxArm64), pinned.clone()),
            (key("postgres:16", Platform::LinuxAmd64), pinned.clone()),
            (key("web:1.4", Platform::LinuxAmd64), pinned),
        ];
        ImageLock { entries: entries.into() }
    }

    #[test]
    fn sf_l1_a_lock_reads_back_as_it_was_written_in_order() {
        let text = lock().text();
        let names: Vec<&str> = text.lines().skip(1).filter_map(|l| l.split('"').nth(1)).collect();
        assert_eq!(names, ["postgres:16", "web:1.4", "web:1.4"]);
        let mut again = read(&text).unwrap();
        let line = |pinned: &Pinned| pinned.place.as_ref().map(|place| place.line);
        assert_eq!(again.entries.values().map(line).collect::<Vec<_>>(), [2, 3, 4].map(Some));
        again.entries.values_mut().for_each(|pinned| pinned.place = None);
        assert_eq!(again, lock());
    }

    #[test]
    fn sf_l5_a_broken_lock_is_an_error_with_a_place() {
        let whole = lock().text();
        let digest = format!("sha256:{}", "5b".repeat(32));
        for (text, expected) in [
            (String::new(), "1:1: error[msb::schema::missing-key]"),
            ("lock 2\n".into(), "1:1: error[msb::schema::newer-format]"),
            (whole.replacen(&digest, "sha256:5b", 1), "2:51: error[msb::value::type]"),
            (whole.replace("bytes=158302211", ""), "2:1: error[msb::schema::missing-key]"),
            (whole.clone() + "<<<<<<< HEAD\n", "5:1: error[msb::s"),
            (whole.clone() + whole.lines().nth(1).unwrap(), "duplicate-definition"),
            (whole.replace(" at=", " ta="), "unknown-key"),
        ] {
            let failed = read(&text).unwrap_err();
            let said: Vec<String> =
                failed.problems.iter().map(|one| one.plain(&failed.sources)).collect();
            assert!(said.iter().any(|one| one.contains(expected)), "{expected}: {said:?}");
        }
    }
}
