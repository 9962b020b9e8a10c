//! The mount flags: volumes, folders, files and disks of the host, and memory.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use schema::name::VolumeName;
use schema::project::{
    Access, DirMount, DiskMount, Ensure, FileChange, FileMount, FsType, GuestPath, HostEnsure,
    HostPerms, Mount, MountSource, Quota, Sandbox, StatVirt, Volume, VolumeKind,
};
use schema::units::Bytes;

use super::failure::Failure;
use super::values;
use crate::mounts::{self, SourceError};
use words::{Flag, Options, split, unescaped};

/// See the module.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Mounts {
    /// A volume by name, or a folder or file by path (can be repeated)
    #[arg(short, long = "volume", value_name = "SOURCE:DEST[:OPTION,...]")]
    volumes: Vec<String>,
    /// A folder of the host, with ensure=, quota=, stat-virt=, host-perms= (can be repeated)
    #[arg(long = "mount-dir", value_name = "PATH:DEST[:OPTION,...]")]
    dirs: Vec<String>,
    /// A file of the host, with ensure= (can be repeated)
    #[arg(long = "mount-file", value_name = "PATH:DEST[:OPTION,...]")]
    files: Vec<String>,
    /// A raw image or block device of the host, with fstype= (can be repeated)
    #[arg(long = "mount-disk", value_name = "PATH:DEST[:OPTION,...]")]
    disks: Vec<String>,
    /// A volume with kind=, size=, quota=, ensure= (can be repeated)
    #[arg(long = "mount-named", value_name = "NAME:DEST[:OPTION,...]")]
    named: Vec<String>,
    /// Memory, with size=, mode= (can be repeated)
    #[arg(long = "tmpfs", value_name = "DEST[:SIZE][:OPTION,...]")]
    tmpfs: Vec<String>,
}

/// Where paths of the command line begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// The working folder.
    pub(crate) folder: &'a Path,
    /// What `~` stands for.
    pub(crate) user: Option<&'a Path>,
    /// Where state lives.
    pub(crate) home: &'a Path,
}

/// A flag, read.
struct Read {
    mount: Mount,
    volume: Option<(VolumeName, Volume)>,
}

/// Why a flag is refused.
enum Refused {
    /// It is written wrong.
    Usage(String),
    /// What it names of the host cannot be mounted.
    Source(SourceError),
}

impl From<String> for Refused {
    fn from(text: String) -> Self {
        Self::Usage(text)
    }
}

impl Mounts {
    /// Adds the mounts to a sandbox and returns the volumes they name.
    ///
    /// # Errors
    /// All problems of all mount flags; nothing was made.
    pub(crate) fn apply(
        &self,
        sandbox: &mut Sandbox,
        places: Places<'_>,
    ) -> Result<BTreeMap<VolumeName, Volume>, Failure> {
        let half = Bytes(sandbox.memory.size.0 / 2);
        let flags = [
            (Flag::Volume, &self.volumes),
            (Flag::Dir, &self.dirs),
            (Flag::File, &self.files),
            (Flag::Disk, &self.disks),
            (Flag::Named, &self.named),
            (Flag::Tmpfs, &self.tmpfs),
        ];
        let (mut refused, mut volumes) = (Vec::new(), BTreeMap::new());
        let mut targets: BTreeSet<GuestPath> = BTreeSet::new();
        for (flag, text) in flags.iter().flat_map(|(flag, texts)| texts.iter().map(|t| (*flag, t)))
        {
            let read = match flag {
                Flag::Tmpfs => of_tmpfs(text, half).map_err(Refused::from),
                _ => of_source(flag, text, places),
            };
            let checked = read.and_then(|read| {
                let at = &read.mount.destination;
                if !read.mount.source.may_be_at(at) {
                    return Err(Refused::Usage(format!("nothing can be mounted at `{at}`")));
                }
                if !targets.insert(at.clone()) {
                    return Err(Refused::Usage("its place is mounted twice".to_owned()));
                }
                Ok(read)
            });
            match checked {
                Err(why) => refused.push((format!("{} {text}", flag.spelling()), why)),
                Ok(read) => {
                    sandbox.mounts.retain(|mount| mount.destination != read.mount.destination);
                    sandbox.mounts.push(read.mount);
                    volumes.extend(read.volume);
                }
            }
        }
        sandbox.mounts.sort_by(|a, b| a.destination.components().cmp(b.destination.components()));
        failure(refused).map_or(Ok(volumes), Err)
    }
}

/// Returns all problems as one failure; what is written wrong comes first.
fn failure(refused: Vec<(String, Refused)>) -> Option<Failure> {
    let (usage, sources): (Vec<_>, Vec<_>) =
        refused.into_iter().partition(|(_, why)| matches!(why, Refused::Usage(_)));
    let mut all = usage.into_iter().chain(sources);
    let (said, why) = all.next()?;
    let first = match why {
        Refused::Usage(text) => Failure::usage("usage::value", format!("{said}: {text}")),
        Refused::Source(error) => {
            let code = error.code().trim_start_matches("msb::");
            let failure = Failure::new(code, "mount", format!("{said}: {error}"));
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            cause.into_iter().fold(failure, Failure::cause).hint(error.hint())
        }
    };
    Some(all.fold(first, |failure, (said, why)| match why {
        Refused::Usage(text) => failure.note(format!("{said}: {text}")),
        Refused::Source(error) => failure.note(format!("{said}: {error}")),
    }))
}

/// Reads `SOURCE:DEST[:OPTION,...]`.
fn of_source(flag: Flag, text: &str, places: Places<'_>) -> Result<Read, Refused> {
    let parts = split(text, ':', 3);
    let source = unescaped(parts.first().copied().unwrap_or_default());
    let target = parts.get(1).ok_or_else(|| "write SOURCE:DEST".to_owned())?;
    let options = Options::read(flag, parts.get(2).copied().unwrap_or_default())?;
    let destination = GuestPath::parse(&unescaped(target)).map_err(|error| error.to_string())?;
    let is_path = is_path(&source);
    let (source, volume) = match flag {
        Flag::Named | Flag::Volume if !is_path => {
            let (name, volume) = volume(&source, &options)?;
            (MountSource::Named(name.clone()), Some((name, volume)))
        }
        Flag::Named => {
            let text = format!("`{source}` is a path; a folder is mounted by --mount-dir");
            return Err(Refused::Usage(text));
        }
        Flag::Volume => (inferred(absolute(&source, places)?, &options)?, None),
        Flag::Dir => (dir(absolute(&source, places)?, &options)?, None),
        Flag::File => (file(absolute(&source, places)?, &options)?, None),
        Flag::Disk | Flag::Tmpfs => (disk(absolute(&source, places)?, &options)?, None),
    };
    let mount = Mount { destination, source, options: options.mount };
    if mount.source.host_path().is_some() {
        let writable = mount.options.access == Access::ReadWrite;
        mounts::look(&mount.source, writable, places.home).map_err(Refused::Source)?;
    }
    Ok(Read { mount, volume })
}

/// Tells whether a source is a path, by the rule by which an image is one.
fn is_path(source: &str) -> bool {
    matches!(source, "." | ".." | "~")
        || ["/", "./", "../", "~/"].iter().any(|start| source.starts_with(start))
}

fn absolute(source: &str, places: Places<'_>) -> Result<PathBuf, String> {
    let path = match (source.strip_prefix('~'), places.user) {
        (Some(below), Some(user)) if below.is_empty() || below.starts_with('/') => {
            user.join(below.trim_start_matches('/'))
        }
        (Some(below), None) if below.is_empty() || below.starts_with('/') => {
            return Err("HOME is not set, so `~` means nothing".to_owned());
        }
        _ => places.folder.join(source),
    };
    // Without `.`, and `..` as the kernel takes it: a link before it is followed.
    Ok(path.components().collect())
}

/// Returns the mount of what lies at a path.
fn inferred(path: PathBuf, options: &Options) -> Result<MountSource, Refused> {
    match std::fs::symlink_metadata(&path) {
        Ok(there) if there.is_file() => Ok(file(path, options)?),
        Ok(_) => Ok(dir(path, options)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Refused::Source(SourceError::Missing(path)))
        }
        Err(source) => Err(Refused::Source(SourceError::Access { path, source })),
    }
}

fn dir(path: PathBuf, options: &Options) -> Result<MountSource, String> {
    let stat_virt = match options.choice("stat-virt", &["strict", "relaxed", "off"])? {
        Some("relaxed") => StatVirt::Relaxed,
        Some("off") => StatVirt::Off,
        _ => StatVirt::Strict,
    };
    let host_perms = match options.choice("host-perms", &["private", "mirror"])? {
        Some("mirror") => HostPerms::Mirror,
        _ => HostPerms::Private,
    };
    if (stat_virt, host_perms) == (StatVirt::Off, HostPerms::Mirror) {
        return Err("`host-perms=mirror` needs the owners that `stat-virt=off` drops".to_owned());
    }
    let quota = match quota(options)? {
        Some(Quota::Bytes(most)) => Some(most),
        Some(Quota::None) | None => None,
    };
    let (ensure, follow_symlink) = (host_ensure(options)?, options.has("follow-symlink")?);
    Ok(MountSource::Dir(DirMount { path, ensure, quota, stat_virt, host_perms, follow_symlink }))
}

fn file(path: PathBuf, options: &Options) -> Result<MountSource, String> {
    let on_change = match options.value("on-change")? {
        None => FileChange::Ignore,
        Some(text) => FileChange::parse(text)
            .ok_or_else(|| format!("`on-change={text}`: write ignore, restart or signal:NAME"))?,
    };
    Ok(MountSource::File(FileMount { path, ensure: host_ensure(options)?, on_change }))
}

fn disk(path: PathBuf, options: &Options) -> Result<MountSource, String> {
    if let Some(format) = schema::project::disk_format(&path) {
        return Err(format!(
            "{} is {format}, and a disk is raw; convert it with `qemu-img convert -O raw`",
            path.display()
        ));
    }
    let fstype = options.choice("fstype", &["ext4", "erofs"])?.map(|fstype| match fstype {
        "erofs" => FsType::Erofs,
        _ => FsType::Ext4,
    });
    Ok(MountSource::Disk(DiskMount { path, fstype }))
}

fn host_ensure(options: &Options) -> Result<HostEnsure, String> {
    Ok(match options.choice("ensure", &["must-exist", "ensure"])? {
        Some("ensure") => HostEnsure::Ensure,
        _ => HostEnsure::MustExist,
    })
}

fn quota(options: &Options) -> Result<Option<Quota>, String> {
    match options.value("quota")? {
        None => Ok(None),
        Some("none") => Ok(Some(Quota::None)),
        Some(text) => values::size(text).map(|most| Some(Quota::Bytes(most))),
    }
}

fn volume(source: &str, options: &Options) -> Result<(VolumeName, Volume), String> {
    if source.contains('/') {
        return Err(format!("a path starts with `./`; write `./{source}`"));
    }
    let name = VolumeName::parse(source).map_err(|error| error.to_string())?;
    let mut volume = Volume::unsaid();
    volume.kind = options.choice("kind", &["dir", "disk"])?.map(|kind| match kind {
        "disk" => VolumeKind::Disk,
        _ => VolumeKind::Dir,
    });
    volume.size = options.value("size")?.map(values::size).transpose()?;
    volume.quota = quota(options)?;
    volume.ensure = match options.choice("ensure", &["ensure", "create", "must-exist"])? {
        Some("create") => Ensure::Create,
        Some("must-exist") => Ensure::MustExist,
        _ => Ensure::Ensure,
    };
    match (volume.kind, volume.size, volume.quota) {
        (Some(VolumeKind::Disk), _, Some(_)) => Err("`quota` goes with kind=dir".to_owned()),
        (Some(VolumeKind::Dir) | None, Some(_), _) => {
            Err("`size` goes with kind=disk; a folder has a quota".to_owned())
        }
        _ => Ok((name, volume)),
    }
}

/// Reads `DEST[:SIZE][:OPTION,...]`.
fn of_tmpfs(text: &str, default_size: Bytes) -> Result<Read, String> {
    let parts = split(text, ':', usize::MAX);
    let mut parts = parts.into_iter();
    let target = unescaped(parts.next().unwrap_or_default());
    let destination = GuestPath::parse(&target).map_err(|error| error.to_string())?;
    let (mut size, mut options) = (None, Options::default());
    let twice = || Err("its size is said twice".to_owned());
    for part in parts {
        if let Ok(bytes) = values::size(part) {
            if size.replace(bytes).is_some() {
                return twice();
            }
            continue;
        }
        options = Options::read(Flag::Tmpfs, part)?;
        if let Some(text) = options.value("size")?
            && size.replace(values::size(text)?).is_some()
        {
            return twice();
        }
    }
    let mode = match options.value("mode")? {
        None => 0o1777,
        Some(text) => u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or("its mode is no octal number")?,
    };
    let source = MountSource::Tmpfs { size: size.unwrap_or(default_size), mode };
    Ok(Read { mount: Mount { destination, source, options: options.mount }, volume: None })
}

#[cfg(test)]
mod tests {
    use schema::project::{ImageRef, Kind};

    use super::*;
    use crate::scratch::Scratch;

    /// Reads flags as `--mount-dir PATH:DEST`, each flag with one value.
    fn read(flags: &[(&str, &str)], folder: &Path) -> Result<Sandbox, String> {
        let of = |flag: &str| {
            let own = flags.iter().filter(|(name, _)| *name == flag);
            own.map(|(_, text)| (*text).to_owned()).collect()
        };
        let mounts = Mounts {
            volumes: of("-v"),
            dirs: of("--mount-dir"),
            files: of("--mount-file"),
            disks: of("--mount-disk"),
            named: of("--mount-named"),
            tmpfs: of("--tmpfs"),
        };
        let mut sandbox = Sandbox::new(Kind::Service, ImageRef::parse("builtin:base").unwrap());
        let home = folder.join("home");
        let places = Places { folder, user: Some(folder), home: &home };
        match mounts.apply(&mut sandbox, places) {
            Ok(_) => Ok(sandbox),
            Err(failure) => Err(failure.text()),
        }
    }

    fn check(flags: &[(&str, &str)]) -> Result<Sandbox, String> {
        read(flags, Path::new("/nowhere"))
    }

    #[test]
    fn mounts_are_read_with_their_options_parents_first() {
        let sandbox = check(&[
            ("-v", "data:/srv/data:ro,noexec"),
            ("--mount-named", "pg:/srv:kind=disk,size=1GiB"),
            ("--tmpfs", "/tmp/x:64MiB:mode=0700"),
        ])
        .unwrap();
        let targets: Vec<&str> = sandbox.mounts.iter().map(|m| m.destination.as_str()).collect();
        assert_eq!(targets, ["/srv", "/srv/data", "/tmp/x"]);
        assert_eq!(sandbox.mounts[1].options.to_string(), "ro noexec");
        let tmpfs = MountSource::Tmpfs { size: Bytes::mib(64), mode: 0o700 };
        assert_eq!(sandbox.mounts[2].source, tmpfs);
    }

    #[test]
    fn what_lies_at_a_path_says_what_is_mounted() {
        let scratch = Scratch::new();
        let path = |name: &str| scratch.path().join(name);
        std::fs::create_dir(path("src")).unwrap();
        std::fs::File::create(path("a:file")).unwrap();
        let flags = [
            ("-v", "./src:/src:ro"),
            ("-v", r"./a\:file:/etc/file"),
            ("-v", "~/src:/home"),
            ("--mount-dir", "new:/new:ensure=ensure,quota=1GiB,stat-virt=relaxed"),
            ("--mount-disk", "./a\\:file:/disk:fstype=ext4"),
        ];
        let sandbox = read(&flags, scratch.path()).unwrap();
        let kinds = sandbox.mounts.iter().map(|m| (m.destination.as_str(), m.source.kind()));
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [
                ("/disk", "disk"),
                ("/etc/file", "file"),
                ("/home", "dir"),
                ("/new", "dir"),
                ("/src", "dir")
            ]
        );
        assert_eq!(sandbox.mounts[1].source.host_path().unwrap(), path("a:file"));
        assert!(!path("new").exists(), "reading flags makes nothing");
        let text = read(&[("-v", "./none:/x")], scratch.path()).unwrap_err();
        assert!(text.contains("does not exist"), "{text}");
        let text = read(&[("--mount-file", "./src:/x")], scratch.path()).unwrap_err();
        assert!(text.contains("is a directory, the file says `file`"), "{text}");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = check(&[
            ("-v", "a/b:/x"),
            ("-v", "v:relative"),
            ("-v", "v:/y:raedonly"),
            ("-v", "v:/proc/x"),
            ("--mount-dir", "/none:/q:mode=0700"),
            ("--mount-named", "./x:/n"),
            ("--tmpfs", "/z:1G:2G"),
        ]);
        let text = text.unwrap_err();
        for said in [
            "`./a/b`",
            "`relative` is not absolute",
            "no option here",
            "nothing can be mounted at `/proc/x`",
            "`mode` belongs to --tmpfs",
            "mounted by --mount-dir",
            "said twice",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn an_attribute_that_goes_with_another_kind_is_refused() {
        let text = check(&[("--mount-named", "v:/y:size=1GiB")]).unwrap_err();
        assert!(text.contains("goes with kind=disk"), "{text}");
        let text = check(&[("--mount-named", "v:/y:kind=disk,size=1GiB,quota=none")]).unwrap_err();
        assert!(text.contains("goes with kind=dir"), "{text}");
    }
}
