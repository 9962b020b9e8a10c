//! `config.kdl` of the home: what an installation wants of every command, read strictly.
//!
//! It holds matters of the installation and never changes what a Sandboxfile means. What is not
//! built yet is refused by its name and place: a key that were read and then ignored would be worse
//! than none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schema::project::{GuestPath, Metrics, Security};
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::{Code, Problem, Problems, listed, nearest, shown};
use schema::sandboxfile::resolve::Failed;
use schema::sandboxfile::source::{Format, SourceFile, Sources, check_text};
use schema::sandboxfile::syntax::build;
use schema::sandboxfile::tree::{Entry, Scalar, Span};
use schema::sandboxfile::value::{self, Read};
use schema::units::{Bytes, Millis};

use crate::registry::{self, HostSettings};
use crate::sessions::keys;

/// The name of the file in the home.
pub const FILE_NAME: &str = "config.kdl";

/// What the file says; `None` and the built-in limits where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The level of msb's own log, and of runtimes that nothing else speaks of.
    pub log_level: Option<&'static str>,
    /// Who runs machines.
    pub driver: Option<&'static str>,
    /// Whether a host without the whole jail is refused.
    pub require_jail: Option<bool>,
    /// When colour is used.
    pub color: Option<&'static str>,
    /// Form of progress.
    pub progress: Option<&'static str>,
    /// How long a held lock is waited for.
    pub lock_timeout: Option<Duration>,
    /// The keys that leave a terminal.
    pub detach_keys: Option<String>,
    /// How long what was removed can be restored.
    pub trash_keep: Option<Duration>,
    /// What stays free on a file system of the host that is written to.
    pub disk_reserve: Option<Bytes>,
    /// How many machines boot at once.
    pub boots: Option<usize>,
    /// How many images are fetched at once.
    pub pulls: Option<usize>,
    /// What a reading may cost.
    pub limits: Limits,
    /// What `run` and `create` make where their flags say nothing.
    pub defaults: Defaults,
    /// How single registries are spoken to.
    pub registries: BTreeMap<String, HostSettings>,
}

/// What `run` and `create` make where their flags say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Processors.
    pub cpus: Option<u8>,
    /// Memory.
    pub memory: Option<Bytes>,
    /// Size of the private upper layer.
    pub upper: Option<Bytes>,
    /// How far the workload is held back.
    pub security: Option<Security>,
    /// The shell of sessions.
    pub shell: Option<GuestPath>,
    /// How old figures may get before they are taken anew.
    pub metrics_interval: Option<Millis>,
}

const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
const DRIVERS: &[&str] = &["auto", "krun", "qemu", "process"];
const COLORS: &[&str] = &["auto", "always", "never"];
const FORMS: &[&str] = &["auto", "tty", "plain", "json", "quiet"];
const SECURITY: &[&str] = &["default", "restricted"];

/// Whether anything honours a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Built,
    Later,
}

use Room::{Built, Later};

/// A key, and whether anything honours it.
type Key = (&'static str, Room);

/// Keys of the file.
const KEYS: &[Key] = &[
    ("log-level", Built),
    ("driver", Built),
    ("require-jail", Built),
    ("color", Built),
    ("progress", Built),
    ("lock-timeout", Built),
    ("detach-keys", Built),
    ("defaults", Built),
    ("parallel", Built),
    ("overcommit", Later),
    ("limits", Built),
    ("registry", Built),
    ("vmm-user", Later),
    ("guest-net", Later),
    ("disk-reserve", Built),
    ("trash-keep", Built),
    ("update", Later),
];
const DEFAULTS: &[Key] = &[
    ("cpus", Built),
    ("memory", Built),
    ("upper", Built),
    ("security", Built),
    ("shell", Built),
    ("metrics-interval", Built),
];
const PARALLEL: &[Key] = &[("boots", Built), ("pulls", Built)];
const REGISTRY: &[Key] = &[("insecure", Built), ("ca-certs", Built), ("token-realm", Built)];
const LIMITS: &[Key] = &[
    ("file-bytes", Built),
    ("total-bytes", Built),
    ("files", Built),
    ("expanded-bytes", Built),
    ("instances", Built),
    ("problems", Built),
    ("seconds", Built),
];

/// The least that the trash keeps what was removed, in milliseconds: a minute.
const TRASH_KEEP_MIN: u64 = 60_000;

/// The most that can be kept free: more than any file system holds.
const DISK_RESERVE_MAX: u64 = 1 << 50;

/// The largest that a limit in bytes may be: places in files have 32 bits.
const BYTES_MAX: u64 = 1 << 30;
/// The most files: their numbers have 16 bits.
const FILES_MAX: u64 = 60_000;
/// The most instances, problems and boots.
const COUNT_MAX: u64 = 1_000_000;
/// The most seconds that a reading may take: an hour.
const SECONDS_MAX: u64 = 3600;

impl Configuration {
    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn read(file: &SourceFile) -> Result<Self, Failed> {
        let limits = Limits::default();
        let mut problems = Problems::new(limits.problems);
        let mut sources = Sources::default();
        let text = match check_text(&file.bytes, Format::Kdl, 0, &limits) {
            Ok(text) => text,
            Err(failed) => {
                problems.push(of_here(failed.1));
                failed.0
            }
        };
        sources.add(file.path.display().to_string(), text);
        let mut found = Self::default();
        if !problems.has_errors() {
            let mut grammar = Problems::new(limits.problems);
            let tree = build::kdl(&sources.files()[0].text, 0, &limits, &mut grammar);
            grammar.into_sorted().0.into_iter().map(of_here).for_each(|one| problems.push(one));
            if let Some(tree) = tree {
                found = Reader { problems: &mut problems }.file(&tree.entries);
            }
        }
        if problems.has_errors() {
            let (problems, more) = problems.into_sorted();
            return Err(Failed { problems, more, sources: Arc::new(sources) });
        }
        Ok(found)
    }
}

/// Gives a problem the one code of this file.
fn of_here(problem: Problem) -> Problem {
    Problem { code: Code::CONFIG_INVALID, ..problem }
}

struct Reader<'p> {
    problems: &'p mut Problems,
}

impl Reader<'_> {
    fn file(&mut self, entries: &[Entry<'_>]) -> Configuration {
        let mut found = Configuration::default();
        for entry in self.known(entries, KEYS, "config.kdl") {
            match entry.key.as_ref() {
                "log-level" => found.log_level = self.choice(entry, LEVELS),
                "driver" => found.driver = self.driver(entry),
                "require-jail" => {
                    found.require_jail = self.one(entry, |item| value::boolean(item, false));
                }
                "color" => found.color = self.choice(entry, COLORS),
                "progress" => found.progress = self.choice(entry, FORMS),
                "lock-timeout" => {
                    let time = self.one(entry, |item| value::duration(item, 0));
                    found.lock_timeout = time.map(Millis::as_duration);
                }
                "detach-keys" => found.detach_keys = self.one(entry, detach_keys),
                "defaults" => found.defaults = self.defaults(entry),
                "parallel" => (found.boots, found.pulls) = self.parallel(entry),
                "limits" => found.limits = self.limits(entry),
                "registry" => self.registry(entry, &mut found.registries),
                "disk-reserve" => found.disk_reserve = self.size(entry, (0, DISK_RESERVE_MAX)),
                "trash-keep" => {
                    let time = self.one(entry, |item| value::duration(item, TRASH_KEEP_MIN));
                    found.trash_keep = time.map(Millis::as_duration);
                }
                other => unreachable!("`{other}` is no key of the table that nothing reads"),
            }
        }
        found
    }

    fn defaults(&mut self, entry: &Entry<'_>) -> Defaults {
        let mut found = Defaults::default();
        for entry in self.group(entry, DEFAULTS) {
            match entry.key.as_ref() {
                "cpus" => {
                    let count = self.one(entry, |item| value::count(item, (1, 64)));
                    found.cpus = count.and_then(|count| u8::try_from(count).ok());
                }
                "memory" => found.memory = self.size(entry, (64 << 20, 1 << 40)),
                "upper" => found.upper = self.size(entry, (Bytes::MIB, 16 << 40)),
                "security" => {
                    found.security = self.choice(entry, SECURITY).map(|word| match word {
                        "restricted" => Security::Restricted,
                        _ => Security::Default,
                    });
                }
                "shell" => {
                    found.shell = self.one(entry, |item| {
                        let text = value::text(item, Limits::SCALAR_BYTES)?;
                        GuestPath::parse(text).map_err(|error| {
                            Problem::error(Code::VALUE_PATH, error.to_string(), item.span)
                                .help("write an absolute path of the guest, such as \"/bin/sh\"")
                        })
                    });
                }
                "metrics-interval" => {
                    let (least, most) = (Metrics::INTERVALS.start(), Metrics::INTERVALS.end());
                    found.metrics_interval = self.one(entry, |item| {
                        let interval = value::duration(item, least.0)?;
                        if interval <= *most {
                            return Ok(interval);
                        }
                        Err(Problem::error(Code::VALUE_RANGE, "it is more than an hour", item.span)
                            .help("write at most \"1h\""))
                    });
                }
                other => unreachable!("`{other}` is no default that nothing reads"),
            }
        }
        found
    }

    fn registry(&mut self, entry: &Entry<'_>, all: &mut BTreeMap<String, HostSettings>) {
        let mut found = HostSettings::default();
        for field in self.known(&entry.fields, REGISTRY, "`registry`") {
            match field.key.as_ref() {
                "insecure" => {
                    let insecure = self.one(field, |item| value::boolean(item, false));
                    found.insecure = insecure.unwrap_or_default();
                }
                "ca-certs" => found.ca_certs = self.one(field, file),
                "token-realm" => found.token_realm = self.one(field, host),
                other => unreachable!("`{other}` is no key of a registry that nothing reads"),
            }
        }
        let [item] = entry.items.as_slice() else {
            let problem =
                Problem::error(Code::CONFIG_INVALID, "`registry` names one host", entry.key_span);
            return self.problems.push(problem.help("write `registry \"HOST\" { … }`"));
        };
        let refused = match host(item) {
            Err(problem) => of_here(problem),
            Ok(_) if found.insecure && found.ca_certs.is_some() => {
                let message = "plain HTTP has no certificates";
                let problem = Problem::error(Code::CONFIG_INVALID, message, entry.key_span);
                problem.help("delete `insecure` or `ca-certs`")
            }
            Ok(name) if all.contains_key(&name) => {
                let message = format!("the registry `{name}` stands twice");
                let problem = Problem::error(Code::CONFIG_INVALID, message, entry.key_span);
                problem.help("keep the one that counts")
            }
            Ok(name) => {
                all.insert(name, found);
                return;
            }
        };
        self.problems.push(refused);
    }

    /// Returns how many machines boot, and how many images are fetched, at once.
    fn parallel(&mut self, entry: &Entry<'_>) -> (Option<usize>, Option<usize>) {
        let fields = self.group(entry, PARALLEL);
        let field = |key: &str| fields.iter().find(|field| field.key == key).copied();
        let mut count = |key| self.number(field(key)?, COUNT_MAX);
        (count("boots"), count("pulls"))
    }

    fn limits(&mut self, entry: &Entry<'_>) -> Limits {
        let mut limits = Limits::default();
        for field in self.group(entry, LIMITS) {
            match field.key.as_ref() {
                "file-bytes" => self.bytes(field, &mut limits.file_bytes),
                "total-bytes" => self.bytes(field, &mut limits.total_bytes),
                "expanded-bytes" => self.bytes(field, &mut limits.expanded_bytes),
                "files" => self.limit(field, FILES_MAX, &mut limits.files),
                "instances" => self.limit(field, COUNT_MAX, &mut limits.instances),
                "problems" => self.limit(field, COUNT_MAX, &mut limits.problems),
                "seconds" => {
                    let seconds = self.one(field, |item| value::count(item, (1, SECONDS_MAX)));
                    limits.seconds = seconds.unwrap_or(limits.seconds);
                }
                other => unreachable!("`{other}` is no limit that nothing reads"),
            }
        }
        // A file that may be read by itself may be read with no other.
        limits.total_bytes = limits.total_bytes.max(limits.file_bytes);
        limits
    }

    fn limit(&mut self, entry: &Entry<'_>, most: u64, limit: &mut usize) {
        *limit = self.number(entry, most).unwrap_or(*limit);
    }

    fn bytes(&mut self, entry: &Entry<'_>, limit: &mut usize) {
        let size = self.size(entry, (1024, BYTES_MAX));
        *limit = size.and_then(|size| usize::try_from(size.0).ok()).unwrap_or(*limit);
    }

    fn number(&mut self, entry: &Entry<'_>, most: u64) -> Option<usize> {
        let count = self.one(entry, |item| value::count(item, (1, most)))?;
        usize::try_from(count).ok()
    }

    fn size(&mut self, entry: &Entry<'_>, bounds: (u64, u64)) -> Option<Bytes> {
        self.one(entry, |item| value::size(item, bounds))
    }

    fn choice(
        &mut self,
        entry: &Entry<'_>,
        words: &'static [&'static str],
    ) -> Option<&'static str> {
        self.one(entry, |item| value::choice(item, &entry.key, words))
    }

    fn driver(&mut self, entry: &Entry<'_>) -> Option<&'static str> {
        self.choice(entry, DRIVERS)
    }

    /// Returns the entries whose keys are known, honoured and written once; refuses the others.
    fn known<'e, 't>(
        &mut self,
        entries: &'e [Entry<'t>],
        keys: &'static [Key],
        place: &str,
    ) -> Vec<&'e Entry<'t>> {
        let mut found: Vec<&Entry<'_>> = Vec::new();
        for entry in entries {
            let key = entry.key.as_ref();
            let Some((_, room)) = keys.iter().find(|(known, _)| *known == key) else {
                self.unknown(entry, keys, place);
                continue;
            };
            if *room == Later {
                self.not_yet(key, entry.key_span);
            } else if key != "registry"
                && let Some(first) = found.iter().find(|one| one.key == entry.key)
            {
                let message = format!("`{key}` is written twice");
                let problem = Problem::error(Code::CONFIG_INVALID, message, entry.key_span)
                    .related(first.key_span, "first here");
                self.problems.push(problem.help("keep the one that counts"));
            } else {
                found.push(entry);
            }
        }
        found
    }

    fn unknown(&mut self, entry: &Entry<'_>, keys: &'static [Key], place: &str) {
        let key = entry.key.as_ref();
        let message = format!("`{}` is no key of {place}", shown(key));
        let near = nearest(key, names(keys));
        let all = listed(names(keys));
        let help = match near {
            Some(near) => format!("write `{near}`; the keys are {all}"),
            None => format!("the keys are {all}"),
        };
        let problem = Problem::error(Code::CONFIG_INVALID, message, entry.key_span);
        self.problems.push(problem.nearest(near).help(help));
    }

    /// Returns the fields of a key that has fields and no value of its own.
    fn group<'e, 't>(&mut self, entry: &'e Entry<'t>, keys: &'static [Key]) -> Vec<&'e Entry<'t>> {
        if let Some(item) = entry.items.first() {
            let message = format!("`{}` has no value of its own", entry.key);
            let help = format!("name what it holds: {}", listed(names(keys)));
            self.problems.push(Problem::error(Code::CONFIG_INVALID, message, item.span).help(help));
        }
        self.known(&entry.fields, keys, &format!("`{}`", entry.key))
    }

    /// Reads the value of a key that has one and no fields.
    fn one<T>(
        &mut self,
        entry: &Entry<'_>,
        read: impl FnOnce(&Scalar<'_>) -> Read<T>,
    ) -> Option<T> {
        let ([item], []) = (entry.items.as_slice(), entry.fields.as_slice()) else {
            let message = format!("`{}` has one value and no fields", entry.key);
            let problem = Problem::error(Code::CONFIG_INVALID, message, entry.span);
            self.problems.push(problem.help(format!("write `{} VALUE`", entry.key)));
            return None;
        };
        read(item).map_err(|problem| self.problems.push(of_here(problem))).ok()
    }

    fn not_yet(&mut self, name: &str, place: Span) {
        let message = format!("{name}: not supported yet");
        let problem = Problem::error(Code::SCHEMA_NOT_YET, message, place);
        self.problems.push(problem.help("delete it; nothing would honour it"));
    }
}

fn names(keys: &'static [Key]) -> impl Iterator<Item = &'static str> {
    keys.iter().map(|(name, _)| *name)
}

/// Reads the host of a registry.
fn host(item: &Scalar<'_>) -> Read<String> {
    let text = value::text(item, Limits::SCALAR_BYTES)?;
    registry::host(text).ok_or_else(|| {
        let message = format!("`{}` is no host of a registry", shown(text));
        let problem = Problem::error(Code::CONFIG_INVALID, message, item.span);
        problem.help("write it as references do, such as \"registry.local:5000\"")
    })
}

/// Reads the path of a file.
fn file(item: &Scalar<'_>) -> Read<PathBuf> {
    let path = PathBuf::from(value::text(item, Limits::SCALAR_BYTES)?);
    if path.is_absolute() {
        return Ok(path);
    }
    let message = format!("`{}` is no absolute path", shown(&path.to_string_lossy()));
    Err(Problem::error(Code::VALUE_PATH, message, item.span)
        .help("write a path from the root, such as \"/etc/ssl/local.pem\""))
}

fn detach_keys(item: &Scalar<'_>) -> Read<String> {
    let text = value::text(item, Limits::SCALAR_BYTES)?;
    if keys::parse(text).is_some() {
        return Ok(text.to_owned());
    }
    let message = format!("`{}` names no keys", shown(text));
    let problem = Problem::error(Code::VALUE_CHOICE, message, item.span);
    Err(problem.help("write them as \"ctrl-p,ctrl-q\", or \"none\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Configuration, String> {
        let bytes = text.as_bytes().to_vec();
        let file = SourceFile { path: FILE_NAME.into(), bytes, format: Format::Kdl };
        Configuration::read(&file).map_err(|failed| {
            failed.problems.iter().map(|problem| problem.plain(&failed.sources)).collect()
        })
    }

    fn refuses(text: &str, parts: &[&str]) {
        let told = read(text).unwrap_err();
        for part in parts {
            assert!(told.contains(part), "{text}: {part} is not in {told}");
        }
    }

    #[test]
    fn what_is_built_is_read() {
        let text = "log-level \"info\"; driver \"qemu\"; require-jail #true; color \"never\"\n\
                    progress \"plain\"; lock-timeout \"1m30s\"; detach-keys \"ctrl-p,ctrl-q\"\n\
                    defaults { cpus 2; memory \"1GiB\"; upper \"8GiB\"; security \"restricted\"; shell \"/bin/bash\"; metrics-interval \"30s\" }\n\
                    parallel boots=8 pulls=2 // and no more\n\
                    trash-keep \"7d\"; disk-reserve \"2GiB\"\n\
                    limits { file-bytes \"16MiB\"; instances 20000; files 100; problems 7; seconds 60; expanded-bytes \"5MiB\" }\n";
        let found = read(text).unwrap();
        assert_eq!(found.log_level, Some("info"));
        assert_eq!((found.driver, found.require_jail), (Some("qemu"), Some(true)));
        assert_eq!((found.color, found.progress), (Some("never"), Some("plain")));
        assert_eq!(found.lock_timeout, Some(Duration::from_secs(90)));
        assert_eq!(found.detach_keys.as_deref(), Some("ctrl-p,ctrl-q"));
        assert_eq!((found.boots, found.pulls), (Some(8), Some(2)));
        assert_eq!(found.trash_keep, Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(found.disk_reserve, Some(Bytes::gib(2)));
        let defaults = Defaults {
            cpus: Some(2),
            memory: Some(Bytes::gib(1)),
            upper: Some(Bytes::gib(8)),
            security: Some(Security::Restricted),
            shell: GuestPath::parse("/bin/bash").ok(),
            metrics_interval: Some(Millis::seconds(30)),
        };
        assert_eq!(found.defaults, defaults);
        let limits = Limits {
            file_bytes: 16 << 20,
            total_bytes: 16 << 20,
            files: 100,
            expanded_bytes: 5 << 20,
            instances: 20_000,
            problems: 7,
            seconds: 60,
        };
        assert_eq!(found.limits, limits);
    }

    #[test]
    fn registries_are_read_by_host() {
        let found = read(
            "registry \"registry.local:5000\" { insecure #true }\n\
                          registry \"a.example\" { ca-certs \"/a.pem\"; token-realm \"auth.b.example\" }",
        );
        let registries = found.unwrap().registries;
        assert!(registries["registry.local:5000"].insecure);
        let other = &registries["a.example"];
        assert_eq!(other.ca_certs.as_deref(), Some("/a.pem".as_ref()));
        assert_eq!(other.token_realm.as_deref(), Some("auth.b.example"));
        refuses("registry \"web\" { insecure #true }", &["1:10", "no host of a registry"]);
        refuses("registry { insecure #true }", &["names one host"]);
        refuses("registry \"a.example\" { insecure 1 }", &["config::invalid"]);
        refuses("registry \"a.example\" { ca-certs \"a.pem\" }", &["no absolute path"]);
        refuses("registry \"a.example\" { tls-verify #false }", &["is no key of `registry`"]);
        refuses("registry \"a.example\" { insecure #true; ca-certs \"/a\" }", &["no certificates"]);
        refuses("registry \"a.example\"; registry \"a.example\"", &["stands twice"]);
    }

    #[test]
    fn an_empty_file_is_what_is_built_in() {
        assert_eq!(read(""), Ok(Configuration::default()));
        assert_eq!(read("// nothing\nlimits\n"), Ok(Configuration::default()));
    }

    #[test]
    fn every_key_is_read_or_refused_by_name() {
        let tables = [
            ("", KEYS),
            ("defaults", DEFAULTS),
            ("parallel", PARALLEL),
            ("limits", LIMITS),
            ("registry", REGISTRY),
        ];
        for (group, keys) in tables {
            for (key, room) in keys {
                let told = match group {
                    "" => read(&format!("{key} \"x y\"")).unwrap_err(),
                    group => read(&format!("{group} {{ {key} \"x y\" }}")).unwrap_err(),
                };
                assert_eq!(told.contains("not supported yet"), *room == Later, "{key}: {told}");
                assert!(!told.contains("is no key of"), "{told}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_to_write() {
        refuses("limits {\n    instanses 5\n}", &["config.kdl:2:5", "write `instances`"]);
        refuses("lock_timeout \"5m\"", &["config::invalid", "`lock_timeout` is no key"]);
        refuses("lock-timeout 5", &["config::invalid", "write the unit: \"5s\""]);
        refuses("color \"neverr\"", &["write \"never\""]);
        refuses("color", &["one value and no fields"]);
        refuses("color \"auto\" { x }", &["one value and no fields"]);
        refuses("limits 5", &["has no value of its own"]);
        refuses("trash-keep \"5s\"", &["out of range", "write 1m or more"]);
        refuses("disk-reserve 512", &["config::invalid", "write the unit"]);
        refuses("disk-reserve \"2048TiB\"", &["out of range", "1024 TiB"]);
        refuses("limits { instances 0 }", &["between 1 and 1000000"]);
        refuses("limits { file-bytes \"2GiB\" }", &["out of range"]);
        refuses("color \"auto\"\ncolor \"never\"", &["2:1", "written twice", "1:1"]);
        refuses("detach-keys \"hyper-x\"", &["names no keys"]);
        refuses("defaults { shell \"sh\" }", &["config::invalid", "an absolute path"]);
        refuses("color \"au", &["config::invalid"]);
    }
}
