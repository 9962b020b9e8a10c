//! A document and what it includes, made into one: templates, variables, then includes.
//!
//! An included file is a unit of its own: its variables, its templates and its
//! defaults end in it, and nothing of it is named in the including file but
//! sandboxes, jobs, volumes and secrets, under a prefix.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::decode::Decoder;
use super::network::is_off;
use super::variables::Feed;
use crate::name::check_name;
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::keys::{Key, Shape};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, ScalarKind, Span};
use crate::sandboxfile::value;

/// What is known of a unit besides its document.
pub(super) struct Unit<'u> {
    /// The project's name, as variables see it.
    pub(super) project: &'u str,
    /// What stands before its names; empty for the project itself.
    pub(super) prefix: &'u str,
    /// Where its variables come from.
    pub(super) feed: Feed<'u>,
}

impl<'s> Decoder<'s, '_> {
    /// Makes a document and what it includes into one document without variables.
    pub(super) fn unit(&mut self, mut document: Group<'s>, unit: &Unit<'_>) -> Group<'s> {
        self.apply_templates(&mut document);
        self.interpolate(&mut document, unit);
        let includes = take(&mut document, "include");
        let mut apart = HashSet::new();
        for member in includes.iter().flat_map(members) {
            if let Some(included) = self.include(member, unit) {
                apart.extend(names(&included));
                self.layering.enter("", "the including file");
                document = self.splice(included, document);
            }
        }
        self.defaults(&mut document, "metrics", &apart);
        self.defaults(&mut document, "network", &apart);
        document
    }

    /// Lays the defaults at the top of a unit below what its sandboxes and jobs say; those that
    /// stand `apart` were included and have the defaults of their own unit.
    fn defaults(&mut self, document: &mut Group<'s>, key: &str, apart: &HashSet<String>) {
        let Some(item) = document.get(key).cloned() else { return };
        let Content::Group(defaults) = &item.content else { return };
        for sandboxes in &mut document.items {
            let (Content::Keyed(members), "sandbox" | "job") =
                (&mut sandboxes.content, sandboxes.key.name)
            else {
                continue;
            };
            for member in members {
                let Content::Group(group) = &mut member.content else { continue };
                if group.dropped.contains(&item.key.name) || apart.contains(member.name.as_ref()) {
                    continue;
                }
                self.layering.enter(&format!("sandbox.{}", member.name), "the sandbox itself");
                match group.items.iter_mut().find(|own| own.key.name == key) {
                    None => {
                        let Some(own) = own_key(sandboxes.key, key) else { continue };
                        group.items.push(Item {
                            key: own,
                            at: item.at,
                            content: item.content.clone(),
                        });
                    }
                    Some(own) => {
                        let Content::Group(upper) = &mut own.content else { continue };
                        if is_off(upper) {
                            // Defaults are for networks; this one says that there is none.
                            continue;
                        }
                        let upper = std::mem::take(upper);
                        let merged = self.layering.lay(defaults.clone(), upper, key);
                        own.content = Content::Group(merged);
                    }
                }
            }
        }
    }

    /// Returns what an included file defines, under its prefix.
    fn include(&mut self, member: &Member<'s>, outer: &Unit<'_>) -> Option<Group<'s>> {
        let group = member.group()?;
        let prefix = match &group.get("as")?.content {
            Content::Scalar(scalar) => {
                let help = "write lower-case letters, digits and dashes, at most 63";
                let rule = |text: &str| check_name(text).map(|()| text.to_owned());
                self.take(value::checked(scalar, Code::VALUE_NAME, rule, help))?
            }
            _ => return None,
        };
        let number = usize::from(member.at.file);
        let target = *self.read.get(number)?.includes.get(member.name.as_ref())?;
        let mut document = self.document(target)?;
        for key in ["project", "remove"] {
            take(&mut document, key);
        }
        let given = self.given(group);
        let feed = Feed::Include { given: &given };
        let whole = joined(outer.prefix, &prefix);
        let unit = Unit { project: outer.project, prefix: &whole, feed };
        let mut document = self.unit(document, &unit);
        rename(&mut document, &prefix);
        for key in ["var", "template", "network", "metrics"] {
            take(&mut document, key);
        }
        Some(document)
    }

    /// Returns the values that an include gives to the variables of the included file.
    fn given(&mut self, group: &Group<'_>) -> BTreeMap<String, (String, Span)> {
        let mut given = BTreeMap::new();
        for member in group.members("vars") {
            let Content::Scalar(scalar) = &member.content else { continue };
            let read = value::text(scalar, usize::MAX).map(str::to_owned);
            if let Some(text) = self.take(read) {
                given.insert(member.name.to_string(), (text, member.at));
            }
        }
        given
    }

    /// Lays a document over what it includes; two units never define the same.
    fn splice(&mut self, included: Group<'s>, document: Group<'s>) -> Group<'s> {
        let (mut below, mut above) = (included, document);
        for item in &mut below.items {
            let Content::Keyed(members) = &mut item.content else { continue };
            members.retain(|member| {
                let earlier = earlier(&above, item.key.name, &member.name);
                let Some(earlier) = earlier.filter(|earlier| self.is_included(earlier.at)) else {
                    return true;
                };
                let message =
                    format!("{} `{}` comes from two files", item.key.name, shown(&member.name));
                let problem = Problem::error(Code::SCHEMA_DUPLICATE_DEFINITION, message, member.at)
                    .related(earlier.at, "the other is here")
                    .help("include one of them under another prefix");
                self.problems.push(problem);
                false
            });
        }
        // Of the document, only what lies over something included is an upper layer.
        let removal = take(&mut above, "remove");
        let mut merged = self.layering.lay(below, above, "");
        merged.items.extend(removal);
        merged
    }

    /// Tells whether a place lies in a file that was included.
    fn is_included(&self, at: Span) -> bool {
        usize::from(at.file) >= self.files_count
    }
}

/// Puts a prefix before the names that a unit defines, and where it refers to them.
fn rename(document: &mut Group<'_>, prefix: &str) {
    let prefixed = |name: &str| format!("{prefix}-{name}");
    for item in &mut document.items {
        let Content::Keyed(members) = &mut item.content else { continue };
        for member in members {
            let name = member.name.clone();
            let Content::Group(group) = &mut member.content else { continue };
            match item.key.name {
                "sandbox" | "job" => references(group, &prefixed),
                "volume" => keep_name(group, (item.key, &name), member.at),
                "secret" => {}
                _ => continue,
            }
            moved_from(group, &prefixed);
            member.name = Cow::Owned(prefixed(&name));
        }
    }
}

/// Returns a prefix below another.
fn joined(outer: &str, prefix: &str) -> String {
    if outer.is_empty() { prefix.to_owned() } else { format!("{outer}-{prefix}") }
}

/// Takes an item out of a body.
fn take<'a>(body: &mut Group<'a>, key: &str) -> Option<Item<'a>> {
    let at = body.items.iter().position(|item| item.key.name == key)?;
    Some(body.items.remove(at))
}

/// Returns the names of the sandboxes and jobs of a document.
fn names(document: &Group<'_>) -> Vec<String> {
    let both = ["sandbox", "job"].into_iter().flat_map(|key| document.members(key));
    both.map(|member| member.name.to_string()).collect()
}

fn members<'g, 'a>(item: &'g Item<'a>) -> &'g [Member<'a>] {
    match &item.content {
        Content::Keyed(members) => members,
        _ => &[],
    }
}

fn earlier<'g, 'a>(document: &'g Group<'a>, key: &str, name: &str) -> Option<&'g Member<'a>> {
    // Sandboxes and jobs share one name space.
    let keys: &[&str] = match key {
        "sandbox" | "job" => &["sandbox", "job"],
        "volume" => &["volume"],
        "secret" => &["secret"],
        _ => &[],
    };
    keys.iter().flat_map(|key| document.members(key)).find(|member| member.name == name)
}

/// Returns the key of that name among those of a keyed node.
fn own_key(of: &'static Key, name: &str) -> Option<&'static Key> {
    match of.shape {
        Shape::Keyed { keys, .. } => keys.iter().find(|key| key.name == name),
        _ => None,
    }
}

/// Renames what a sandbox refers to: siblings, volumes, secrets.
fn references(group: &mut Group<'_>, prefixed: &impl Fn(&str) -> String) {
    for item in &mut group.items {
        match (item.key.name, &mut item.content) {
            ("depends-on" | "connect", Content::Keyed(members)) => {
                for member in members {
                    if let ("connect", Content::Group(group)) = (item.key.name, &mut member.content)
                    {
                        // Inside its unit a sibling is reached under the name that the unit writes.
                        say(group, (item.key, "as"), member.name.clone(), member.at);
                    }
                    member.name = Cow::Owned(prefixed(&member.name));
                }
            }
            ("mount", Content::Keyed(members)) => {
                for mount in members {
                    let Content::Group(kinds) = &mut mount.content else { continue };
                    rename_in(kinds, "named", prefixed);
                }
            }
            ("env", Content::Map(members)) => {
                for variable in members {
                    let Content::Group(sources) = &mut variable.content else { continue };
                    rename_scalar(sources, "secret", prefixed);
                }
            }
            _ => {}
        }
    }
}

/// A volume of somebody else goes on being found under the name that the unit writes.
fn keep_name<'a>(group: &mut Group<'a>, (of, name): (&'static Key, &Cow<'a, str>), at: Span) {
    if group.mentions("external") {
        say(group, (of, "host-name"), name.clone(), at);
    }
}

/// Writes a value where the unit has left it to its default.
fn say<'a>(group: &mut Group<'a>, (of, name): (&'static Key, &str), text: Cow<'a, str>, at: Span) {
    if let (false, Some(key)) = (group.mentions(name), own_key(of, name)) {
        let scalar = Scalar::new(text, ScalarKind::Quoted, at);
        group.items.push(Item { key, at, content: Content::Scalar(scalar) });
    }
}

fn rename_in(group: &mut Group<'_>, key: &str, prefixed: &impl Fn(&str) -> String) {
    let item = group.items.iter_mut().find(|item| item.key.name == key);
    if let Some(Content::Group(inner)) = item.map(|item| &mut item.content)
        && let Some(name) = &mut inner.principal
    {
        name.text = Cow::Owned(prefixed(&name.text));
    }
}

fn rename_scalar(group: &mut Group<'_>, key: &str, prefixed: &impl Fn(&str) -> String) {
    let item = group.items.iter_mut().find(|item| item.key.name == key);
    if let Some(Content::Scalar(name)) = item.map(|item| &mut item.content) {
        name.text = Cow::Owned(prefixed(&name.text));
    }
}

fn moved_from(group: &mut Group<'_>, prefixed: &impl Fn(&str) -> String) {
    let lifecycle = group.items.iter_mut().find(|item| item.key.name == "lifecycle");
    if let Some(Content::Group(inner)) = lifecycle.map(|item| &mut item.content) {
        rename_scalar(inner, "moved-from", prefixed);
    }
}
