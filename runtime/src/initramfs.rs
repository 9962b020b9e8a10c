//! agentd as a cpio archive, the same bytes each time.
//!
//! The kernel unpacks it into its first root: agentd as `/init`, the console it
//! is started with, and the empty folders it mounts things on. It is the same
//! for every machine; nothing of a machine is in it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use thiserror::Error;

use crate::chain;

/// The largest agentd that is packed; a release build stays below a quarter of it.
pub const AGENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The archive ends on such a boundary: one of the VMMs maps it page by page.
const PAGE_BYTES: usize = 4096;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CONSOLE: u32 = 0o020_600;
const CONSOLE_DEVICE: (u32, u32) = (5, 1);

/// Number of `/dev/null`: where the console is not there in time, a program's start puts this in
/// the place of its three streams, and ends process 1 where it cannot.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Why an initramfs was not made.
#[derive(Debug, Error)]
pub enum InitramfsError {
    /// The program could not be read.
    #[error("cannot read the agent {}", path.display())]
    ReadAgent {
        /// Where it was looked for.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The program cannot be the first process of a guest.
    #[error("the agent {} {why}", path.display())]
    NotAnAgent {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The archive could not be written.
    #[error("cannot write the initramfs {}", path.display())]
    Write {
        /// Where it was to be.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

/// Carries out `msb-runtime initramfs --agent FILE --out FILE`; prints the archive's digest.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    const USAGE: u8 = 64;
    let Some((agent, out)) = parse(arguments) else {
        writeln!(io::stderr(), "usage: msb-runtime initramfs --agent FILE --out FILE").ok();
        return ExitCode::from(USAGE);
    };
    match make(&agent, &out) {
        Ok(digest) => match writeln!(io::stdout(), "{digest}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            writeln!(io::stderr(), "{}", chain(&error)).ok();
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<(PathBuf, PathBuf)> {
    let (mut agent, mut out) = (None, None);
    while let Some(option) = arguments.next() {
        let value = Some(PathBuf::from(arguments.next()?));
        match option.to_str()? {
            "--agent" => agent = value,
            "--out" => out = value,
            _ => return None,
        }
    }
    Some((agent?, out?))
}

/// Returns the archive that makes `agentd` the first process of a guest.
///
/// Same agentd, same bytes: owners and times are zero and entries are sorted.
#[must_use]
pub fn archive(agentd: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(agentd.len() + PAGE_BYTES);
    let console = Entry { device: CONSOLE_DEVICE, ..Entry::new("dev/console", CONSOLE) };
    let null = Entry { device: NULL_DEVICE, ..Entry::new("dev/null", CONSOLE) };
    let init = Entry { content: agentd, ..Entry::new("init", PROGRAM) };
    let folder = |name| Entry::new(name, FOLDER);
    let entries = [
        folder(".msb"),
        folder("dev"),
        console,
        null,
        init,
        folder("newroot"),
        folder("proc"),
        folder("sys"),
    ];
    for (inode, entry) in (1..).zip(&entries) {
        push_entry(&mut out, inode, entry);
    }
    push_entry(&mut out, 0, &Entry::new("TRAILER!!!", 0));
    pad(&mut out, PAGE_BYTES);
    out
}

/// Writes the archive of the agent at `agent` to `out`, and returns its BLAKE3 digest in hex.
///
/// `out` is either the old file or the whole new one, whenever the host stops.
///
/// # Errors
/// The agent cannot be read, is no static x86-64 program, or `out` cannot be written.
pub fn make(agent: &Path, out: &Path) -> Result<String, InitramfsError> {
    let agentd = read_agent(agent)?;
    check_agent(&agentd)
        .map_err(|why| InitramfsError::NotAnAgent { path: agent.to_owned(), why: why.into() })?;
    let bytes = archive(&agentd);
    replace(out, &bytes)
        .map_err(|source| InitramfsError::Write { path: out.to_owned(), source })?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

struct Entry<'a> {
    name: &'a str,
    mode: u32,
    device: (u32, u32),
    content: &'a [u8],
}

impl<'a> Entry<'a> {
    const fn new(name: &'a str, mode: u32) -> Self {
        Self { name, mode, device: (0, 0), content: &[] }
    }
}

/// Appends one entry in the format that cpio calls `newc`.
fn push_entry(out: &mut Vec<u8>, inode: u32, entry: &Entry<'_>) {
    let Entry { name, mode, device: (major, minor), content } = *entry;
    let size = u32::try_from(content.len()).expect("an agent is at most AGENT_BYTES_MAX");
    let name_size = u32::try_from(name.len() + 1).expect("names are those of `archive`");
    let links = if mode == FOLDER { 2 } else { 1 };
    let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out, 4);
    out.extend_from_slice(content);
    pad(out, 4);
}

fn pad(out: &mut Vec<u8>, boundary: usize) {
    out.resize(out.len().next_multiple_of(boundary), 0);
}

fn read_agent(path: &Path) -> Result<Vec<u8>, InitramfsError> {
    let read = |source| InitramfsError::ReadAgent { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let mut bytes = Vec::new();
    file.take(AGENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > AGENT_BYTES_MAX {
        let why = format!("is larger than {AGENT_BYTES_MAX} bytes");
        return Err(InitramfsError::NotAnAgent { path: path.to_owned(), why });
    }
    Ok(bytes)
}

/// Refuses what the guest's kernel could not run, since there is no loader in the archive.
fn check_agent(elf: &[u8]) -> Result<(), &'static str> {
    const INTERPRETER: u32 = 3;
    const X86_64: u64 = 62;
    if elf.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err("is not a 64-bit ELF program");
    }
    if number(elf, 18, 2) != Some(X86_64) {
        return Err("is not a program for x86-64");
    }
    let table = number(elf, 32, 8).ok_or("is cut short")?;
    let entry_size = number(elf, 54, 2).ok_or("is cut short")?;
    let entries = number(elf, 56, 2).ok_or("is cut short")?;
    for entry in 0..entries {
        let at = table.checked_add(entry * entry_size).ok_or("is cut short")?;
        let kind = number(elf, at, 4).ok_or("is cut short")?;
        if kind == u64::from(INTERPRETER) {
            return Err("is linked dynamically; build it with -C target-feature=+crt-static");
        }
    }
    Ok(())
}

/// Returns the little-endian number of `size` bytes at `at`.
fn number(bytes: &[u8], at: u64, size: usize) -> Option<u64> {
    let start = usize::try_from(at).ok()?;
    let field = bytes.get(start..start.checked_add(size)?)?;
    Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = write_through(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The failure that is reported is the first one; a file left here is only litter.
        fs::remove_file(&temporary).ok();
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// A head of an ELF program with one program header of the given kind.
    fn elf(kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[test]
    fn rt_4_1_the_archive_lists_as_the_page_says() {
        let mut cpio = Command::new("busybox")
            .args(["cpio", "-tv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        cpio.stdin.take().unwrap().write_all(&archive(b"agent!")).unwrap();
        let listed = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        let columns = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", words[0], words[1], words[words.len() - 1])
        };
        let listed: Vec<String> = listed.lines().map(columns).collect();
        assert_eq!(
            listed,
            [
                "drwxr-xr-x 0/0 .msb",
                "drwxr-xr-x 0/0 dev",
                "crw------- 0/0 dev/console",
                "crw------- 0/0 dev/null",
                "-rwxr-xr-x 0/0 init",
                "drwxr-xr-x 0/0 newroot",
                "drwxr-xr-x 0/0 proc",
                "drwxr-xr-x 0/0 sys",
            ]
        );
    }

    #[test]
    fn rt_4_1_the_archive_is_whole_pages_and_always_the_same() {
        for size in [0, 1, 3, 4096, 5000] {
            let agent = vec![7; size];
            assert_eq!(archive(&agent).len() % PAGE_BYTES, 0, "an agent of {size} bytes");
            assert_eq!(archive(&agent), archive(&agent));
        }
        assert_eq!(
            blake3::hash(&archive(b"agent")).to_hex()[..16],
            *"39674684955a6d2e",
            "a change of layout is a change of every template's key"
        );
    }

    #[test]
    fn a_program_that_needs_a_loader_is_refused() {
        assert_eq!(check_agent(&elf(1)), Ok(()));
        assert!(check_agent(&elf(3)).unwrap_err().contains("linked dynamically"));
        assert!(check_agent(b"#!/bin/sh\n").unwrap_err().contains("not a 64-bit ELF"));
        assert!(check_agent(&elf(1)[..60]).unwrap_err().contains("cut short"));
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("msb-initramfs-{}", std::process::id()));
        fs::create_dir_all(folder.join("taken/inside")).unwrap();
        replace(&folder.join("taken"), b"bytes").unwrap_err();
        replace(&folder.join("file"), b"bytes").unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "taken"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
