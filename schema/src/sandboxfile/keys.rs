//! Every key of the language, in one table: its shape, type, default, class and what it is for.
//!
//! The reader of shapes, the reference pages and the JSON Schema read this
//! table, so they cannot tell different stories.

mod life;
mod mount;
mod network;
mod sandbox;
mod top;
mod words;

pub use sandbox::SANDBOX;
pub use top::{PROJECT, TOP, VOLUME};

/// One key of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name; in YAML too, unless [`Key::plural`] says otherwise.
    pub name: &'static str,
    /// Its name in YAML, for what KDL writes as one node per entry.
    pub plural: Option<&'static str>,
    /// How it is written.
    pub shape: Shape,
    /// What holds where it is not written, in words; empty where nothing does.
    pub default: &'static str,
    /// The class of a change in the best case; empty where its parts decide.
    pub class: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Whether it can be used.
    pub status: Status,
    /// Whether it must be written, may be none, or neither.
    pub presence: Presence,
}

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It can.
    Supported,
    /// It is part of the language, and refused for now.
    NotYet,
}

/// Whether a key must be written, and whether it may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has a default, or is simply absent.
    Optional,
    /// It may be written as null, which means explicitly none.
    Nullable,
    /// It must be written.
    Required,
}

/// How a key is written, in both formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    Scalar(Type),
    /// A list of values.
    List(Type),
    /// A line: a value that properties qualify.
    Line {
        /// The value before the properties.
        principal: Principal,
        /// The properties.
        attributes: &'static [Key],
    },
    /// A block: perhaps a value, and keys in braces.
    Block {
        /// The value before the braces.
        principal: Option<Principal>,
        /// The keys in the braces.
        keys: &'static [Key],
    },
    /// A map with free keys; each value is of the one shape.
    Map {
        /// What a free key must be.
        key: Type,
        /// What each value is: a scalar or a line.
        value: &'static Self,
    },
    /// One node per entry, told apart by its argument.
    Keyed {
        /// What the argument must be.
        identity: Type,
        /// Whether the keys are properties of the line or lines in braces.
        body: Body,
        /// The keys.
        keys: &'static [Key],
    },
    /// One node per entry, with properties only.
    Rows(&'static [Key]),
    /// A block of lines, the name of each being its tag.
    Tagged {
        /// The tags.
        tags: &'static [&'static str],
        /// What stands behind the tag.
        target: Type,
        /// The properties.
        attributes: &'static [Key],
    },
}

/// Where the keys of a keyed entry stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// On its line, as properties.
    Line,
    /// In braces, as lines.
    Block,
}

/// The value that a line or block begins with; YAML writes it under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name in YAML.
    pub name: &'static str,
    /// What it must be.
    pub ty: Type,
    /// Whether it must be there.
    pub required: bool,
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Any text, up to so many bytes.
    Text(usize),
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Count(u64, u64),
    /// A number with up to three decimals.
    Decimal,
    /// A size in bytes within bounds; whole mebibytes where the lower bound is at least one.
    Size(u64, u64),
    /// A size, or the word `none`.
    SizeOrNone,
    /// Bytes a second.
    Rate,
    /// A duration of at least so many milliseconds.
    Duration(u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The name of a project, sandbox, job, volume, secret, template or prefix.
    Name,
    /// The name of a sandbox, perhaps with the index of one of its instances.
    Instance,
    /// The name of a variable.
    VarName,
    /// The name of an environment variable of a guest.
    EnvKey,
    /// A key of a label.
    LabelKey,
    /// An absolute path in the guest.
    GuestPath,
    /// A path on the host.
    HostPath,
    /// A reference to an image.
    Image,
    /// A user of the guest, perhaps with a group.
    User,
    /// The name of a signal.
    Signal,
    /// A regular expression.
    Regex,
    /// A port.
    Port,
    /// A port or a range.
    PortRange,
    /// A port, a range or a set of both.
    PortSet,
    /// A port, a range, or `auto`.
    HostPort,
    /// An address.
    Address,
    /// An address, perhaps with a port.
    Server,
    /// A name of hosts, perhaps with `*.` before it.
    HostPattern,
    /// The target of a network rule.
    Target,
    /// Permission bits.
    Mode,
    /// A count, or the word `unlimited`.
    Limit,
}

impl Key {
    /// Returns the name of the key in the format that was read.
    #[must_use]
    pub const fn spelling(&self, yaml: bool) -> &'static str {
        match self.plural {
            Some(plural) if yaml => plural,
            Some(_) | None => self.name,
        }
    }
}

const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key {
        name,
        plural: None,
        shape,
        default: "",
        class: "",
        about,
        status: Status::Supported,
        presence: Presence::Optional,
    }
}

impl Key {
    const fn plural(self, plural: &'static str) -> Self {
        Self { plural: Some(plural), ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    const fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    const fn not_yet(self) -> Self {
        Self { status: Status::NotYet, ..self }
    }

    const fn nullable(self) -> Self {
        Self { presence: Presence::Nullable, ..self }
    }

    const fn required(self) -> Self {
        Self { presence: Presence::Required, ..self }
    }
}

const fn principal(name: &'static str, ty: Type) -> Principal {
    Principal { name, ty, required: true }
}

const TEXT: Type = Type::Text(64 << 10);
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// Finds the key that `name` spells in the format that was read.
#[must_use]
pub fn find(keys: &'static [Key], name: &str, yaml: bool) -> Option<&'static Key> {
    keys.iter().find(|key| key.spelling(yaml) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(keys: &'static [Key], visit: &mut impl FnMut(&'static [Key])) {
        visit(keys);
        for key in keys {
            match key.shape {
                Shape::Scalar(_) | Shape::List(_) | Shape::Map { .. } => {}
                Shape::Line { attributes: inner, .. }
                | Shape::Tagged { attributes: inner, .. }
                | Shape::Block { keys: inner, .. }
                | Shape::Keyed { keys: inner, .. }
                | Shape::Rows(inner) => walk(inner, visit),
            }
        }
    }

    #[test]
    fn no_key_stands_twice_in_one_place_and_each_says_what_it_is_for() {
        walk(TOP, &mut |keys| {
            for (index, key) in keys.iter().enumerate() {
                assert!(!key.about.is_empty(), "{}", key.name);
                assert!(!keys[..index].iter().any(|other| other.name == key.name), "{}", key.name);
            }
        });
    }

    #[test]
    fn sf_t5_yaml_names_keyed_nodes_and_rows_in_the_plural() {
        let mut plurals = Vec::new();
        walk(TOP, &mut |keys| plurals.extend(keys.iter().filter_map(|key| key.plural)));
        plurals.sort_unstable();
        plurals.dedup();
        let expected = [
            "includes",
            "jobs",
            "mounts",
            "ports",
            "sandboxes",
            "secrets",
            "templates",
            "vars",
            "volumes",
        ];
        assert_eq!(plurals, expected);
    }
}
