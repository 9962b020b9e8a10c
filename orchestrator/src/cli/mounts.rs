//! The mount flags: named disks and memory.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use schema::name::VolumeName;
use schema::project::{
    Access, Ensure, GuestPath, Mount, MountFlag, MountOptions, MountSource, Sandbox, Volume,
    VolumeKind,
};
use schema::sandboxfile::problem::nearest;
use schema::units::Bytes;

use super::failure::Failure;
use super::values;

/// See the module.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Mounts {
    /// A volume, as NAME:DEST[:OPTION,...] (can be repeated)
    #[arg(short, long = "volume", value_name = "SOURCE:DEST")]
    volumes: Vec<String>,
    /// A volume with kind=, size=, ensure= (can be repeated)
    #[arg(long = "mount-named", value_name = "NAME:DEST")]
    named: Vec<String>,
    /// Memory, as DEST[:SIZE][:OPTION,...] (can be repeated)
    #[arg(long = "tmpfs", value_name = "DEST")]
    tmpfs: Vec<String>,
}

/// A flag of one kind, read.
struct Read {
    mount: Mount,
    volume: Option<(VolumeName, Volume)>,
}

impl Mounts {
    /// Adds the mounts to a sandbox and returns the volumes they name.
    ///
    /// # Errors
    /// All problems of all mount flags.
    pub(crate) fn apply(
        &self,
        sandbox: &mut Sandbox,
    ) -> Result<BTreeMap<VolumeName, Volume>, Failure> {
        let default_size = Bytes(sandbox.memory.size.0 / 2);
        let short = self.volumes.iter().map(|text| ("-v", text, of_volume(text, false)));
        let named = self.named.iter().map(|text| ("--mount-named", text, of_volume(text, true)));
        let tmpfs = self.tmpfs.iter().map(|text| ("--tmpfs", text, of_tmpfs(text, default_size)));
        let (mut problems, mut volumes) = (Vec::new(), BTreeMap::new());
        let mut targets: BTreeSet<GuestPath> = BTreeSet::new();
        for (flag, text, read) in short.chain(named).chain(tmpfs) {
            match read {
                Err(problem) => problems.push(format!("{flag} {text}: {problem}")),
                Ok(read) => {
                    if !targets.insert(read.mount.destination.clone()) {
                        problems.push(format!("{flag} {text}: its place is mounted twice"));
                    }
                    sandbox.mounts.retain(|mount| mount.destination != read.mount.destination);
                    sandbox.mounts.push(read.mount);
                    volumes.extend(read.volume);
                }
            }
        }
        sandbox.mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
        match problems.split_first() {
            None => Ok(volumes),
            Some((first, rest)) => {
                let failure = if first.ends_with(NOT_YET) {
                    Failure::new("usage::not-yet", "usage", first)
                } else {
                    Failure::usage("usage::value", first)
                };
                Err(rest.iter().fold(failure, |failure, more| failure.note(more)))
            }
        }
    }
}

const NOT_YET: &str = "not supported yet";

fn of_volume(text: &str, is_long: bool) -> Result<Read, String> {
    let mut parts = text.splitn(3, ':');
    let source = parts.next().unwrap_or_default();
    let target = parts.next().ok_or("write SOURCE:DEST")?;
    let options = options(parts.next().unwrap_or_default())?;
    let is_path = matches!(source, "." | "..")
        || ["/", "./", "../", "~/"].iter().any(|start| source.starts_with(start));
    if is_path {
        return Err(format!("mounting host folders is {NOT_YET}"));
    }
    if source.contains('/') {
        return Err(format!("a path starts with `./`; write `./{source}`"));
    }
    let name = VolumeName::parse(source).map_err(|error| error.to_string())?;
    let mut volume = Volume::unsaid();
    let known: &[&str] = if is_long { &["ensure", "kind", "size"] } else { &[] };
    for (key, value) in &options.rest {
        match (key.as_str(), value.as_deref()) {
            ("kind", Some("disk")) if is_long => volume.kind = Some(VolumeKind::Disk),
            ("kind", Some("dir")) if is_long => return Err(format!("kind=dir is {NOT_YET}")),
            ("size", Some(size)) if is_long => volume.size = Some(values::size(size)?),
            ("ensure", Some("ensure")) if is_long => volume.ensure = Ensure::Ensure,
            ("ensure", Some("create")) if is_long => volume.ensure = Ensure::Create,
            ("ensure", Some("must-exist")) if is_long => volume.ensure = Ensure::MustExist,
            (key, _) => return Err(unknown(key, known)),
        }
    }
    let destination = GuestPath::parse(target).map_err(|error| error.to_string())?;
    let source = MountSource::Named(name.clone());
    let mount = Mount { destination, source, options: options.mount };
    Ok(Read { mount, volume: Some((name, volume)) })
}

fn of_tmpfs(text: &str, default_size: Bytes) -> Result<Read, String> {
    let mut parts = text.split(':');
    let target = parts.next().unwrap_or_default();
    let destination = GuestPath::parse(target).map_err(|error| error.to_string())?;
    let (mut size, mut mode, mut mount) = (None, 0o1777, MountOptions::default());
    for part in parts {
        if let Ok(bytes) = values::size(part) {
            if size.replace(bytes).is_some() {
                return Err("its size is said twice".into());
            }
            continue;
        }
        let options = options(part)?;
        for (key, value) in &options.rest {
            match (key.as_str(), value.as_deref()) {
                ("size", Some(text)) => {
                    if size.replace(values::size(text)?).is_some() {
                        return Err("its size is said twice".into());
                    }
                }
                ("mode", Some(text)) => {
                    mode = u32::from_str_radix(text, 8)
                        .ok()
                        .filter(|mode| *mode <= 0o7777)
                        .ok_or("its mode is no octal number")?;
                }
                (key, _) => return Err(unknown(key, &["mode", "size"])),
            }
        }
        mount = options.mount;
    }
    let source = MountSource::Tmpfs { size: size.unwrap_or(default_size), mode };
    Ok(Read { mount: Mount { destination, source, options: mount }, volume: None })
}

/// Options that every mount has, and the others as they are written.
struct Options {
    mount: MountOptions,
    rest: Vec<(String, Option<String>)>,
}

fn options(text: &str) -> Result<Options, String> {
    let mut options = Options { mount: MountOptions::default(), rest: Vec::new() };
    let mut seen = BTreeSet::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let (key, value) = values::pair(word)?;
        let kind = if matches!(key.as_str(), "ro" | "rw") { "access" } else { key.as_str() };
        if !seen.insert(kind.to_owned()) {
            return Err(format!("`{key}` does not go with what stands before it"));
        }
        match (key.as_str(), &value) {
            ("ro", None) => options.mount.access = Access::ReadOnly,
            ("rw", None) => options.mount.access = Access::ReadWrite,
            ("noexec", None) => drop(options.mount.flags.insert(MountFlag::NoExec)),
            ("nosuid", None) => drop(options.mount.flags.insert(MountFlag::NoSuid)),
            ("nodev", None) => drop(options.mount.flags.insert(MountFlag::NoDev)),
            _ => options.rest.push((key, value)),
        }
    }
    Ok(options)
}

fn unknown(key: &str, known: &[&str]) -> String {
    let common = ["ro", "rw", "noexec", "nosuid", "nodev"];
    match nearest(key, known.iter().chain(&common).copied()) {
        Some(near) => format!("`{key}` is no option here; `{near}` was probably meant"),
        None => format!("`{key}` is no option here"),
    }
}

#[cfg(test)]
mod tests {
    use schema::project::{ImageRef, Kind};

    use super::*;

    fn check(volumes: &[&str], named: &[&str], tmpfs: &[&str]) -> Result<Sandbox, String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let mounts = Mounts { volumes: owned(volumes), named: owned(named), tmpfs: owned(tmpfs) };
        let mut sandbox = Sandbox::new(Kind::Service, ImageRef::parse("builtin:base").unwrap());
        match mounts.apply(&mut sandbox) {
            Ok(_) => Ok(sandbox),
            Err(failure) => Err(failure.text()),
        }
    }

    #[test]
    fn mounts_are_read_with_their_options_parents_first() {
        let sandbox = check(
            &["data:/srv/data:ro,noexec"],
            &["pg:/srv:kind=disk,size=1GiB"],
            &["/tmp/x:64MiB:mode=0700"],
        )
        .unwrap();
        let targets: Vec<&str> = sandbox.mounts.iter().map(|m| m.destination.as_str()).collect();
        assert_eq!(targets, ["/srv", "/srv/data", "/tmp/x"]);
        assert_eq!(sandbox.mounts[1].options.to_string(), "ro noexec");
        let tmpfs = MountSource::Tmpfs { size: Bytes::mib(64), mode: 0o700 };
        assert_eq!(sandbox.mounts[2].source, tmpfs);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = check(&["a/b:/x", "v:relative", "v:/y:raedonly"], &[], &["/z:1G:2G"]);
        let text = text.unwrap_err();
        for said in ["`./a/b`", "`relative` is not absolute", "no option here", "said twice"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn an_option_that_is_spelt_wrong_names_the_right_one() {
        let text = check(&[], &["v:/y:knid=disk"], &[]).unwrap_err();
        assert!(text.contains("`kind` was probably meant"), "{text}");
    }

    #[test]
    fn a_host_folder_is_not_supported_yet() {
        assert!(check(&["./src:/src"], &[], &[]).unwrap_err().contains("not supported yet"));
    }
}
