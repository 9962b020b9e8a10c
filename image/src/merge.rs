//! The rules by which one layer lies over another: what replaces, what merges
//! and what a whiteout hides.

use schema::archive::{Entry, Kind};

use super::tree::{Attributes, Content, Data, Inode, Missing, Name, ROOT, Tree, Xattr};

/// What marks an entry that hides others.
const WHITEOUT: &[u8] = b".wh.";
/// What marks whiteouts with a meaning of their own.
const RESERVED: &[u8] = b".wh..wh.";
/// Hides everything that lower layers put into the folder.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What was left out while merging, to be told to the person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Attributes that only overlays, labels or other hosts could mean.
    pub xattrs: u64,
}

/// Puts one entry of a layer into the tree; `data` is the content of a file.
///
/// Layers are numbered from the bottom, and come in that order.
pub(crate) fn apply(
    tree: &mut Tree,
    layer: u16,
    entry: Entry,
    data: Data,
    dropped: &mut Dropped,
) -> Result<(), &'static str> {
    let (parent, name) = split(&entry.path);
    if parent.split(|b| *b == b'/').any(|part| part.starts_with(RESERVED)) {
        return Ok(());
    }
    if parent.split(|b| *b == b'/').any(|part| part.starts_with(WHITEOUT)) {
        return Err("it lies below a whiteout");
    }
    if name.starts_with(WHITEOUT) {
        return hide(tree, layer, parent, name);
    }
    let attributes = attributes(&entry, dropped);
    if name.is_empty() {
        return match entry.kind {
            Kind::Folder => {
                tree.inode_mut(ROOT).attributes = attributes;
                Ok(())
            }
            _ => Err("the root must be a folder"),
        };
    }
    let parent = tree.folder_at(parent, Missing::Make(layer))?.ok_or("a parent is missing")?;
    let content = match entry.kind {
        Kind::Folder => return folder(tree, layer, (parent, name), attributes),
        Kind::HardLink(target) => return hard_link(tree, layer, (parent, name), &target),
        Kind::File => Content::File(data),
        Kind::Symlink(text) => Content::Symlink(text.into()),
        Kind::Character(major, minor) => Content::Character(major, minor),
        Kind::Block(major, minor) => Content::Block(major, minor),
        Kind::Fifo => Content::Fifo,
    };
    let inode = tree.add(Inode { attributes, content })?;
    tree.link(parent, name, Name { inode, layer })
}

/// Returns the folder's path and the last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Puts a folder over whatever is there; over a folder only its attributes change.
fn folder(
    tree: &mut Tree,
    layer: u16,
    (parent, name): (u32, &[u8]),
    attributes: Attributes,
) -> Result<(), &'static str> {
    let below = tree.lookup(parent, name).filter(|below| tree.folder(below.inode).is_some());
    let inode = if let Some(below) = below {
        tree.inode_mut(below.inode).attributes = attributes;
        below.inode
    } else {
        tree.add(Inode { attributes, content: Content::Folder(Box::default()) })?
    };
    tree.link(parent, name, Name { inode, layer })
}

fn hard_link(
    tree: &mut Tree,
    layer: u16,
    (parent, name): (u32, &[u8]),
    target: &[u8],
) -> Result<(), &'static str> {
    const MISSING: &str = "it is a hard link to an entry that is not there";
    let (folder, target) = split(target);
    let folder = tree.folder_at(folder, Missing::Leave)?.ok_or(MISSING)?;
    if (folder, target) == (parent, name) {
        return Err("it is a hard link to itself");
    }
    let found = tree.lookup(folder, target).ok_or(MISSING)?;
    if tree.folder(found.inode).is_some() {
        return Err("it is a hard link to a folder");
    }
    tree.link(parent, name, Name { inode: found.inode, layer })
}

fn hide(tree: &mut Tree, layer: u16, parent: &[u8], marker: &[u8]) -> Result<(), &'static str> {
    if marker.starts_with(RESERVED) && marker != OPAQUE {
        return Ok(());
    }
    let name = &marker[WHITEOUT.len()..];
    if matches!(name, b"" | b"." | b"..") {
        return Err("it is a whiteout of nothing");
    }
    let Some(parent) = tree.folder_at(parent, Missing::Leave)? else {
        return Ok(());
    };
    if marker == OPAQUE {
        tree.clear_lower(parent, layer);
    } else if let Some(mut hidden) = tree.lookup(parent, name) {
        if tree.keeps_after_clearing(&mut hidden, layer) {
            tree.link(parent, name, hidden)?;
        } else {
            tree.unlink(parent, name);
        }
    }
    Ok(())
}

/// Returns the attributes of an entry, without those that mean nothing to a guest.
fn attributes(entry: &Entry, dropped: &mut Dropped) -> Attributes {
    let kept: Box<[Xattr]> = entry
        .xattrs
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| (name.as_slice().into(), value.as_slice().into()))
        .collect();
    dropped.xattrs += (entry.xattrs.len() - kept.len()) as u64;
    Attributes::new(entry.mode, (entry.uid, entry.gid), entry.mtime).with_xattrs(kept)
}

fn is_kept(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"security.ima" => true,
        b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => {
            name.starts_with(b"user.")
                && !name.starts_with(b"user.overlay.")
                && (6..=260).contains(&name.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use schema::archive::{Reader, craft::Archive};

    use super::*;

    /// Merges layers and returns the tree as lines, or why it was refused.
    fn merge(layers: &[Archive]) -> Result<String, &'static str> {
        let mut tree = Tree::new();
        let mut dropped = Dropped::default();
        for (layer, archive) in layers.iter().enumerate() {
            let bytes = archive.clone().end();
            let mut reader = Reader::new(&bytes[..]);
            while let Some(entry) = reader.next_entry().unwrap() {
                let data = Data::new(entry.size, 0, Vec::new());
                apply(&mut tree, u16::try_from(layer).unwrap(), entry, data, &mut dropped)?;
            }
        }
        let mut lines = String::new();
        list(&tree, ROOT, "", &mut lines);
        Ok(lines.trim_end().to_owned())
    }

    fn list(tree: &Tree, id: u32, path: &str, lines: &mut String) {
        for (name, entry) in &tree.folder(id).unwrap().names {
            let path = format!("{path}{}", String::from_utf8_lossy(name));
            let inode = tree.inode(entry.inode);
            match &inode.content {
                Content::Folder(_) => {
                    write!(lines, "{path}/ ").unwrap();
                    list(tree, entry.inode, &format!("{path}/"), lines);
                }
                Content::File(data) => write!(lines, "{path}={} ", data.size).unwrap(),
                Content::Symlink(text) => write!(lines, "{path}>{} ", text.escape_ascii()).unwrap(),
                other => write!(lines, "{path}:{other:?} ").unwrap(),
            }
        }
    }

    fn layer() -> Archive {
        Archive::default()
    }

    fn check(layers: &[Archive], expected: &str) {
        assert_eq!(merge(layers).as_deref(), Ok(expected));
    }

    fn refused(layers: &[Archive], why: &str) {
        let error = merge(layers).expect_err(why);
        assert!(error.contains(why), "{error}: not {why}");
    }

    fn base() -> Archive {
        layer().folder("d").file("d/a", b"1").folder("d/s").file("d/s/x", b"1").file("f", b"1")
    }

    #[test]
    fn a_whiteout_hides_lower_layers_only() {
        check(&[base(), layer().file("d/.wh.a", b"").file(".wh.f", b"")], "d/ d/s/ d/s/x=1");
        check(&[base(), layer().file("f", b"22").file(".wh.f", b"")], "d/ d/a=1 d/s/ d/s/x=1 f=2");
        check(&[base(), layer().file("d/s/y", b"").file(".wh.d", b"")], "d/ d/s/ d/s/y=0 f=1");
        check(
            &[base(), layer().file("gone/.wh.a", b"").file(".wh.none", b"")],
            &merge(&[base()]).unwrap(),
        );
        refused(&[layer().file(".wh..", b"")], "whiteout of nothing");
        refused(&[layer().file(".wh....", b"").file(".wh.", b"")], "whiteout of nothing");
        refused(&[layer().file(".wh.x/y", b"")], "below a whiteout");
    }

    #[test]
    fn an_opaque_folder_hides_lower_layers_wherever_it_stands() {
        let opaque = |archive: Archive| archive.file("d/.wh..wh..opq", b"");
        check(&[base(), opaque(layer()).file("d/b", b"")], "d/ d/b=0 f=1");
        check(
            &[base(), opaque(layer().file("d/b", b"").file("d/s/y", b""))],
            "d/ d/b=0 d/s/ d/s/y=0 f=1",
        );
        check(&[base(), layer().file(".wh..wh..opq", b"")], "");
        check(&[base(), layer().file("d/.wh..wh.plnk/1", b"")], &merge(&[base()]).unwrap());
    }

    #[test]
    fn folders_merge_and_everything_else_replaces() {
        check(&[base(), layer().folder("d").file("f", b"22")], "d/ d/a=1 d/s/ d/s/x=1 f=2");
        check(&[base(), layer().file("d", b"")], "d=0 f=1");
        check(&[base(), layer().folder("f")], "d/ d/a=1 d/s/ d/s/x=1 f/");
        check(&[layer().file("a", b"1").file("a", b"22")], "a=2");
        check(&[layer().file("p/q/r", b"")], "p/ p/q/ p/q/r=0");
        refused(&[base(), layer().file("f/below", b"")], "a parent is not a folder");
    }

    #[test]
    fn links_among_the_parents_stay_inside_the_tree() {
        let linked = base().symlink("up", "../../d/./s").symlink("abs", "/d");
        check(
            &[linked.clone(), layer().file("up/y", b"").file("abs/z", b"")],
            "abs>/d d/ d/a=1 d/s/ d/s/x=1 d/s/y=0 d/z=0 f=1 up>../../d/./s",
        );
        check(
            &[linked.clone(), layer().file("abs/.wh.a", b"")],
            "abs>/d d/ d/s/ d/s/x=1 f=1 up>../../d/./s",
        );
        check(&[linked, layer().folder("abs")], "abs/ d/ d/a=1 d/s/ d/s/x=1 f=1 up>../../d/./s");
        refused(&[layer().symlink("l", "/nowhere").file("l/x", b"")], "a link to nothing");
        refused(&[layer().symlink("l", "l").file("l/x", b"")], "more than 40 links");
    }

    #[test]
    fn hard_links_name_what_is_visible() {
        check(&[base(), layer().hard_link("h", "d/a")], "d/ d/a=1 d/s/ d/s/x=1 f=1 h=1");
        check(
            &[base(), layer().hard_link("h", "f").file(".wh.f", b"")],
            "d/ d/a=1 d/s/ d/s/x=1 h=1",
        );
        refused(&[layer().hard_link("h", "h")], "to itself");
        refused(&[layer().hard_link("h", "later").file("later", b"")], "not there");
        refused(&[base(), layer().hard_link("h", "d")], "to a folder");
        refused(&[base(), layer().file(".wh.f", b"").hard_link("h", "f")], "not there");
    }

    #[test]
    fn what_would_fill_memory_is_refused() {
        let value = vec![b'x'; 60_000];
        let entry = |archive: Archive, n| {
            archive.pax(b'x', &[("SCHILY.xattr.user.a", &value)]).file(&format!("f{n}"), b"")
        };
        refused(&[(0..850).fold(layer(), entry)], "larger than 48 MiB");
        let text = [b"d/../".repeat(800), b"d".to_vec()].concat();
        let linked = layer().folder("d").pax(b'x', &[("linkpath", &text)]).symlink("l", "-");
        let entry = |archive: Archive, n| archive.file(&format!("l/f{n}"), b"");
        refused(&[(0..11_000).fold(linked, entry)], "too many links");
    }

    #[test]
    fn attributes_of_other_hosts_are_dropped() {
        let keys: [(&str, &[u8]); 5] = [
            ("SCHILY.xattr.user.a", b"1"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.capability", b"c"),
            ("SCHILY.xattr.security.selinux", b"s"),
        ];
        let bytes = layer().pax(b'x', &keys).file("f", b"").end();
        let entry = Reader::new(&bytes[..]).next_entry().unwrap().unwrap();
        let mut dropped = Dropped::default();
        let kept = attributes(&entry, &mut dropped);
        let names: Vec<_> =
            kept.xattrs().iter().map(|(name, _)| name.escape_ascii().to_string()).collect();
        assert_eq!(
            (names, dropped.xattrs),
            (vec!["security.capability".into(), "user.a".into()], 3)
        );
    }
}
