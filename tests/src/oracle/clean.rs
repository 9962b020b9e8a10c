//! *Clean*: what is there of a home beyond what its living machines need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use orchestrator::store::{Store, invariants, locks};
use schema::project::Transport;

use super::kept::{Into, walk};
use super::parents;
use crate::home::Home;
use crate::machines::{self, Folder, flocks};
use crate::processes::Alive;
use crate::run::pause;

/// Returns what should not be there, one sentence each.
pub(super) fn leftovers(home: &Home) -> Vec<String> {
    let folders = machines::of(home);
    let mut left = processes(home, &folders);
    left.extend(state(home, &folders));
    left.extend(files(home, &folders));
    left.extend(mounts(home));
    left.extend(ports(&home.alive(), &folders));
    left
}

/// Processes that no living machine's runtime stands behind.
fn processes(home: &Home, folders: &[Folder]) -> Vec<String> {
    let first = strays(home, folders);
    if first.is_empty() {
        return Vec::new();
    }
    // A process that was only being made, or whose parent was ending, has its place by now.
    pause(Duration::from_millis(50));
    let still = strays(home, folders).into_iter().filter(|stray| first.contains(stray));
    still.map(|stray| format!("process {} ({})", stray.pid, stray.command)).collect()
}

fn strays(home: &Home, folders: &[Folder]) -> Vec<Alive> {
    let runtimes: BTreeSet<u32> = folders
        .iter()
        .filter(|folder| folder.lives())
        .filter_map(|folder| folder.record.as_ref().map(|record| record.runtime.pid))
        .collect();
    let alive = home.alive();
    let parents = parents();
    let belongs = |pid: u32| {
        let line = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
        line.take_while(|pid| *pid > 1).any(|pid| runtimes.contains(&pid))
    };
    let strays: Vec<Alive> = alive.into_iter().filter(|process| !belongs(process.pid)).collect();
    // What ended since we looked is not left.
    strays.into_iter().filter(|stray| Alive::find(stray.pid).as_ref() == Some(stray)).collect()
}

/// State that contradicts itself, or that machine folders contradict.
fn state(home: &Home, folders: &[Folder]) -> Vec<String> {
    let there: BTreeSet<String> = folders.iter().map(Folder::id).collect();
    let looked = Store::open_read_only(&home.path()).and_then(|store| match store {
        None => Ok((Vec::new(), BTreeSet::new())),
        Some(mut store) => store.read(|db| {
            let machines = invariants::machines(db)?.into_iter().collect();
            let mut wrong = invariants::broken(db)?;
            wrong.extend(invariants::unfinished(db)?);
            Ok((wrong, machines))
        }),
    });
    let (mut left, known): (Vec<String>, BTreeSet<String>) = match looked {
        Ok(looked) => looked,
        Err(error) => return vec![format!("a state that cannot be read: {error:?}")],
    };
    left.extend(there.difference(&known).map(|id| format!("machine folder {id} without a row")));
    left.extend(known.difference(&there).map(|id| format!("the row of machine {id}, no folder")));
    left
}

/// Half-made files, sockets nobody listens on, locks nobody may hold.
fn files(home: &Home, folders: &[Folder]) -> Vec<String> {
    let root = home.path();
    let alive: BTreeMap<String, bool> =
        folders.iter().map(|folder| (folder.id(), folder.lives())).collect();
    let (held, mut left) = (flocks(), Vec::new());
    walk(&root, &mut |path, metadata| {
        let below = path.strip_prefix(&root).unwrap_or(path);
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        let machine = (parts.len() > 1 && parts[0] == "machines").then(|| parts[1].clone());
        let lives = machine.as_ref().is_some_and(|id| alive.get(id.as_ref()) == Some(&true));
        if is_users(&parts) {
            return Into::By;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_half_made(&parts, &name) {
            left.push(format!("{}", below.display()));
            return Into::By;
        }
        let is_name = machine.as_deref() == Some(schema::peer::NAMES);
        if is_name && metadata.file_type().is_symlink() && !path.exists() {
            left.push(format!("the name {}, whose machine is gone", below.display()));
        }
        if metadata.file_type().is_socket() && !lives {
            left.push(format!("the socket {}", below.display()));
        }
        if held.contains(&metadata.ino()) && !lives && machine.is_some() {
            left.push(format!("a lock on {}", below.display()));
        }
        if held.contains(&metadata.ino()) && parts.first().is_some_and(|part| part == "locks") {
            left.push(format!("a lock on {}", below.display()));
        }
        Into::In
    });
    left.extend(sandbox_locks(home, &root));
    left
}

/// What guests and users put where they may.
fn is_users(parts: &[std::borrow::Cow<'_, str>]) -> bool {
    match parts {
        [first, _, third, ..] if first == "machines" => third == "root",
        [first, trash, _, fourth, ..] if first == "volumes" && trash == ".trash" => {
            is_content(fourth)
        }
        [first, _, third, ..] if first == "volumes" => is_content(third),
        _ => false,
    }
}

/// What a volume holds: a folder, or what stands in for a disk.
fn is_content(name: &str) -> bool {
    matches!(name, "data" | "process")
}

fn is_half_made(parts: &[std::borrow::Cow<'_, str>], name: &str) -> bool {
    if parts.is_empty() || name == ".trash" {
        return false;
    }
    let is_stray = match parts {
        [images, tmp, _] if images == "images" && tmp == "tmp" => !name.ends_with(".lock"),
        [images, roots, _] if images == "images" && roots == "roots" => !name.ends_with(".erofs"),
        [images, blobs, _, _] if images == "images" && blobs == "blobs" => !is_digest(name),
        _ => false,
    };
    name.starts_with('.')
        || [".tmp", ".new", ".making", ".gone", ".bad"].iter().any(|end| name.ends_with(end))
        || is_stray
        || parts[0] == "locks" && name.starts_with("new-")
}

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Locks of instances that state does not know any more.
fn sandbox_locks(home: &Home, root: &Path) -> Vec<String> {
    let known = Store::open_read_only(&home.path()).ok().flatten();
    let known: BTreeSet<String> = known
        .and_then(|mut store| store.read(invariants::lock_owners).ok())
        .unwrap_or_default()
        .into_iter()
        .collect();
    let Ok(entries) = fs::read_dir(root.join("locks")) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter_map(|name| Some(name.strip_suffix(".lock")?.to_owned()))
        .filter(|owner| !locks::OF_NOBODY.contains(&owner.as_str()) && !known.contains(owner))
        .map(|owner| format!("locks/{owner}.lock, whose owner is gone"))
        .collect()
}

fn mounts(home: &Home) -> Vec<String> {
    let root = home.path().display().to_string();
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = text.lines().filter_map(|line| line.split_whitespace().nth(4));
    below.filter(|path| path.starts_with(&root)).map(|path| format!("a mount on {path}")).collect()
}

/// Listening ports that no living machine publishes.
fn ports(alive: &[Alive], folders: &[Folder]) -> Vec<String> {
    let records = folders.iter().filter(|folder| folder.lives());
    let published: BTreeSet<(u32, SocketAddr)> = records
        .filter_map(|folder| folder.record.as_ref())
        .flat_map(|record| record.ports.iter().map(|port| (record.runtime.pid, port)))
        .filter(|(_, port)| port.protocol == Transport::Tcp)
        .map(|(pid, port)| (pid, SocketAddr::new(port.bind, port.host)))
        .collect();
    let mut left = Vec::new();
    for process in alive {
        let sockets = sockets(process.pid);
        for family in ["tcp", "tcp6"] {
            let path = format!("/proc/{}/net/{family}", process.pid);
            let text = fs::read_to_string(path).unwrap_or_default();
            for line in text.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let [_, address, _, "0A", _, _, _, _, _, inode, ..] = fields[..] else { continue };
                let is_declared =
                    || address_of(address).is_some_and(|at| published.contains(&(process.pid, at)));
                if sockets.contains(inode) && !is_declared() {
                    left.push(format!("{address} ({family}), where {} listens", process.command));
                }
            }
        }
    }
    left
}

/// Reads an address as the kernel lists it: words of the address as this processor has them, and the port.
fn address_of(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok();
    let words: Option<Vec<u32>> = (0..address.len()).step_by(8).map(word).collect();
    let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Returns the inodes of a process's sockets.
fn sockets(pid: u32) -> BTreeSet<String> {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            let target = target.to_str()?;
            Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_the_kernel_lists_it() {
        let read = |text: &str| address_of(text).map(|at| at.to_string());
        assert_eq!(read("0100007F:868F").as_deref(), Some("127.0.0.1:34447"));
        let loopback = "00000000000000000000000001000000:0050";
        assert_eq!(read(loopback).as_deref(), Some("[::1]:80"));
        assert_eq!(read("0100007F"), None);
    }
}
