//! A Sandboxfile that is edited at random, as text that the real reader reads.

use std::collections::{BTreeMap, BTreeSet};

use schema::sandboxfile::resolve::{ResolveInputs, resolve};
use schema::sandboxfile::source::{Format, SourceFile};

use super::chance::Chance;
use crate::plan::{Inputs, Wish};

/// The names that sandboxes can have; each may depend on those before it.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The names that volumes can have.
const VOLUMES: [&str; 3] = ["v0", "v1", "v2"];

/// What the file says of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    job: bool,
    image: u8,
    env: u8,
    memory: u8,
    replicas: u8,
    profile: bool,
    protect: Option<bool>,
    keep: Option<bool>,
    needs: BTreeMap<usize, Need>,
    volume: Option<usize>,
    moved_from: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    until: u8,
    restarts: bool,
    optional: bool,
}

/// What the file says of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Disk {
    size: u8,
    protect: Option<bool>,
    moved_from: Option<usize>,
}

/// The file as somebody has it open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    nodes: BTreeMap<usize, Node>,
    volumes: BTreeMap<usize, Disk>,
}

/// One change that somebody makes to the file; one that does not apply changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    Add { node: u8, job: bool, keep: bool },
    Remove(u8),
    Rename { node: u8, to: u8 },
    Image(u8),
    Env(u8),
    Memory(u8),
    Kind(u8),
    Replicas { node: u8, count: u8 },
    Profile(u8),
    Protect { node: u8, flag: u8 },
    Keep { node: u8, flag: u8 },
    Need { node: u8, on: u8, until: u8, how: u8 },
    NeedLess { node: u8, on: u8 },
    Mount { node: u8, volume: u8 },
    Unmount(u8),
    AddVolume(u8),
    RemoveVolume(u8),
    Resize { volume: u8, size: u8 },
    ProtectVolume { volume: u8, flag: u8 },
    RenameVolume { volume: u8, to: u8 },
}

impl Edit {
    pub(super) fn any(chance: &mut Chance) -> Self {
        let (node, other, small) = (chance.below(6), chance.below(6), chance.below(4));
        let volume = chance.below(3);
        match chance.below(30) {
            0..=4 => Self::Add { node, job: chance.percent(30), keep: chance.percent(15) },
            5..=6 => Self::Remove(node),
            7 => Self::Rename { node, to: other },
            8..=9 => Self::Image(node),
            10..=11 => Self::Env(node),
            12 => Self::Memory(node),
            13 => Self::Kind(node),
            14..=15 => Self::Replicas { node, count: small },
            16 => Self::Profile(node),
            17 => Self::Protect { node, flag: small },
            18 => Self::Keep { node, flag: small },
            19..=21 => Self::Need { node, on: other, until: small, how: chance.below(8) },
            22 => Self::NeedLess { node, on: other },
            23..=24 => Self::Mount { node, volume },
            25 => Self::Unmount(node),
            26 => Self::AddVolume(volume),
            27 if small == 0 => Self::RemoveVolume(volume),
            27 => Self::RenameVolume { volume, to: other % 3 },
            28 => Self::Resize { volume, size: small },
            _ => Self::ProtectVolume { volume, flag: small },
        }
    }
}

/// A flag that is written, written away, or not there.
const fn flag(of_four: u8) -> Option<bool> {
    match of_four {
        0 | 1 => Some(true),
        2 => Some(false),
        _ => None,
    }
}

impl File {
    /// Makes one change, unless the file would not be valid any more.
    pub(super) fn edit(&mut self, edit: Edit) {
        let before = self.clone();
        self.change(edit);
        if *self != before && [true, false].iter().any(|extra| self.wish(*extra).is_none()) {
            *self = before;
        }
    }

    fn change(&mut self, edit: Edit) {
        let at = |index: u8| usize::from(index) % NAMES.len();
        let disk = |index: u8| usize::from(index) % VOLUMES.len();
        let mut of = |node: u8, work: &dyn Fn(&mut Node)| {
            if let Some(node) = self.nodes.get_mut(&at(node)) {
                work(node);
            }
        };
        match edit {
            Edit::Image(node) => of(node, &|node| node.image = (node.image + 1) % 3),
            Edit::Env(node) => of(node, &|node| node.env = (node.env + 1) % 3),
            Edit::Memory(node) => of(node, &|node| node.memory = (node.memory + 1) % 3),
            Edit::Kind(node) => of(node, &|node| node.job = !node.job),
            Edit::Replicas { node, count } => of(node, &|node| node.replicas = count),
            Edit::Profile(node) => of(node, &|node| node.profile = !node.profile),
            Edit::Protect { node, flag: is } => of(node, &|node| node.protect = flag(is)),
            Edit::Keep { node, flag: is } => of(node, &|node| node.keep = flag(is)),
            Edit::NeedLess { node, on } => of(node, &|node| {
                node.needs.remove(&at(on));
            }),
            Edit::Unmount(node) => of(node, &|node| node.volume = None),
            Edit::Need { node, on, until, how } if at(on) < at(node) => of(node, &|node| {
                let (restarts, optional) = (how & 1 == 1, how & 6 == 6);
                node.needs.insert(at(on), Need { until, restarts, optional });
            }),
            Edit::Need { .. } => {}
            Edit::Add { node, job, keep } => {
                let keep = keep.then_some(true);
                self.nodes.entry(at(node)).or_insert_with(|| Node { job, keep, ..Node::default() });
            }
            Edit::Remove(node) => self.remove(at(node)),
            Edit::Rename { node, to } => self.rename(at(node), at(to)),
            Edit::Mount { node, volume } => self.mount(at(node), disk(volume)),
            Edit::AddVolume(volume) => drop(self.volumes.entry(disk(volume)).or_default()),
            Edit::RemoveVolume(volume) => self.remove_volume(disk(volume)),
            Edit::Resize { volume, size } => {
                self.volumes.entry(disk(volume)).and_modify(|disk| disk.size = size);
            }
            Edit::ProtectVolume { volume, flag: is } => {
                self.volumes.entry(disk(volume)).and_modify(|disk| disk.protect = flag(is));
            }
            Edit::RenameVolume { volume, to } => self.rename_volume(disk(volume), disk(to)),
        }
    }

    fn remove(&mut self, node: usize) {
        self.nodes.remove(&node);
        for other in self.nodes.values_mut() {
            other.needs.remove(&node);
        }
    }

    fn rename(&mut self, from: usize, to: usize) {
        if self.nodes.contains_key(&to) {
            return;
        }
        let Some(mut node) = self.nodes.remove(&from) else { return };
        node.moved_from = Some(from);
        node.needs.retain(|target, _| *target < to);
        self.nodes.insert(to, node);
        for (name, other) in &mut self.nodes {
            if let Some(need) = other.needs.remove(&from).filter(|_| to < *name) {
                other.needs.insert(to, need);
            }
        }
        // One name was given away once only.
        for (name, other) in &mut self.nodes {
            if *name != to && other.moved_from == Some(from) {
                other.moved_from = None;
            }
        }
    }

    /// A disk has one user.
    fn mount(&mut self, node: usize, volume: usize) {
        let taken = self.nodes.values().any(|node| node.volume == Some(volume));
        if let Some(node) = self.nodes.get_mut(&node).filter(|_| !taken) {
            node.volume = Some(volume);
            self.volumes.entry(volume).or_default();
        }
    }

    fn remove_volume(&mut self, volume: usize) {
        self.volumes.remove(&volume);
        for node in self.nodes.values_mut().filter(|node| node.volume == Some(volume)) {
            node.volume = None;
        }
    }

    fn rename_volume(&mut self, from: usize, to: usize) {
        if self.volumes.contains_key(&to) {
            return;
        }
        let Some(disk) = self.volumes.remove(&from) else { return };
        for other in self.volumes.values_mut().filter(|other| other.moved_from == Some(from)) {
            other.moved_from = None;
        }
        self.volumes.insert(to, Disk { moved_from: Some(from), ..disk });
        for node in self.nodes.values_mut().filter(|node| node.volume == Some(from)) {
            node.volume = Some(to);
        }
    }

    /// Returns the file as text.
    pub(super) fn text(&self) -> String {
        let mut lines = vec!["project \"shop\"".to_owned()];
        for (name, disk) in &self.volumes {
            let life = life(disk.protect, None, disk.moved_from.map(|from| VOLUMES[from]));
            let (name, size) = (VOLUMES[*name], disk.size + 1);
            let mut parts = vec!["kind \"disk\"".to_owned(), format!("size \"{size}GiB\"")];
            parts.extend(life);
            lines.push(format!("volume \"{name}\" {{ {} }}", parts.join("; ")));
        }
        lines.extend(self.nodes.iter().map(|(name, node)| self.node(*name, node)));
        lines.join("\n") + "\n"
    }

    fn node(&self, name: usize, node: &Node) -> String {
        let word = if node.job { "job" } else { "sandbox" };
        let mut parts = vec![
            format!("image \"app:{}\"", node.image),
            format!("env {{ X \"{}\" }}", node.env),
            format!("memory \"{}MiB\" max=\"1GiB\"", 256 << node.memory),
        ];
        if node.replicas > 0 && node.volume.is_none() {
            parts.push(format!("replicas {}", node.replicas));
        }
        parts.extend(node.profile.then(|| "profiles \"extra\"".to_owned()));
        let mount = |volume| format!("mount \"/data\" {{ named \"{}\" }}", VOLUMES[volume]);
        parts.extend(node.volume.map(mount));
        parts.extend(node.needs.iter().filter_map(|(target, need)| self.need(*target, *need)));
        parts.extend(life(node.protect, node.keep, node.moved_from.map(|from| NAMES[from])));
        format!("{word} \"{}\" {{ {} }}", NAMES[name], parts.join("; "))
    }

    fn need(&self, target: usize, need: Need) -> Option<String> {
        let until = match (self.nodes.get(&target)?.job, need.until) {
            (_, 0) => "started",
            (true, 1) => "completed",
            (true, 2) => "completed-ok",
            _ => "ready",
        };
        let change = if need.restarts { " on-change=\"restart\"" } else { "" };
        let optional = if need.optional { " optional=#true" } else { "" };
        let target = NAMES[target];
        Some(format!("depends-on \"{target}\" until=\"{until}\"{change}{optional}"))
    }

    /// Returns the file as the real reader reads it; `None` where it is not valid.
    pub(super) fn wish(&self, extra: bool) -> Option<Wish> {
        let bytes = self.text().into_bytes();
        let source = SourceFile { path: "Sandboxfile".into(), bytes, format: Format::Kdl };
        let profiles: BTreeSet<String> = extra.then(|| "extra".to_owned()).into_iter().collect();
        let inputs = ResolveInputs {
            folder: "/srv/shop".into(),
            home: "/home/ana".into(),
            profiles: profiles.clone(),
            ..ResolveInputs::default()
        };
        let read = resolve(&[source], &inputs).ok()?;
        let inputs = Inputs { files: read.files, ..Inputs::default() };
        let mut wish =
            Wish::new(read.project, read.origins, inputs, "/srv/shop/Sandboxfile".into());
        wish.selection.profiles = profiles;
        Some(wish)
    }
}

fn life(protect: Option<bool>, keep: Option<bool>, moved_from: Option<&str>) -> Option<String> {
    let mut words = Vec::new();
    words.extend(protect.map(|flag| format!("protect #{flag}")));
    words.extend(keep.map(|flag| format!("keep #{flag}")));
    words.extend(moved_from.map(|from| format!("moved-from \"{from}\"")));
    (!words.is_empty()).then(|| format!("lifecycle {{ {} }}", words.join("; ")))
}
