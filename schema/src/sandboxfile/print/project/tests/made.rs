//! Files made by chance along the table of keys, in which values are what their keys ask for.
//!
//! Not every one of them is sound: two keys may still exclude each other.

use crate::change::SANDBOX_FIELDS;
use crate::sandboxfile::interpolate::escaped;
use crate::sandboxfile::keys::{
    Body, Key, Presence, SANDBOX, Shape, Status, TOP, Type, VOLUME, find,
};
use crate::sandboxfile::merge::kinds;
use crate::sandboxfile::print::tests::made::{Chance, WORDS};
use crate::sandboxfile::tree::{Entry, Origin, Scalar, ScalarKind, Span, Tree};

type Node = Entry<'static>;

const SECRETS: &[&str] = &["s0", "s1"];
const VOLUMES: &[&str] = &["plain", "folder", "disk", "foreign"];
const NAMES: &[&str] = &["a", "b-1", "c", "d", "e"];

pub(super) struct Maker {
    chance: Chance,
    /// Numbers that are given out once, for what must differ.
    next: usize,
    /// What is being made.
    of: Of,
}

/// What is being made, as far as its values depend on it.
#[derive(Clone, Copy)]
struct Of {
    /// The place of its name among the names; later ones may need it.
    number: usize,
    job: bool,
    replicas: Option<usize>,
    /// Whether values may differ from instance to instance.
    marks: bool,
}

impl Maker {
    pub(super) fn new(seed: u64) -> Self {
        let of = Of { number: 0, job: false, replicas: None, marks: false };
        Self { chance: Chance::new(seed), next: 0, of }
    }

    /// Returns a whole file: all secrets and volumes, and some sandboxes and jobs.
    pub(super) fn file(mut self) -> Tree<'static> {
        let mut entries = vec![self.named("project", "acme")];
        for key in ["network", "metrics"] {
            if self.chance.one_in(4) {
                entries.extend(self.key(find(TOP, key, false).unwrap()));
            }
        }
        entries.extend(SECRETS.iter().map(|name| self.named("secret", name)));
        entries.extend(VOLUMES.iter().map(|name| self.volume(name)));
        for number in 0..=self.chance.below(NAMES.len()) {
            entries.push(self.sandbox(number));
        }
        Tree { entries }
    }

    fn fresh(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// Returns a node of the top with a name, and some of its keys.
    fn named(&mut self, key: &'static str, name: &'static str) -> Node {
        let keys = below(find(TOP, key, false).unwrap());
        let node = Entry::node(key).with(Scalar::text(name));
        self.block(node, keys, key)
    }

    fn volume(&mut self, name: &'static str) -> Node {
        let node = Entry::node("volume").with(Scalar::text(name));
        let some =
            |key: &str, value: &'static str| Entry::node(key.to_owned()).with(Scalar::text(value));
        let mut node = match name {
            "folder" => node.line(some("kind", "dir")).line(some("quota", "5GiB")),
            "disk" => node.line(some("kind", "disk")).line(some("size", "48MiB")),
            "foreign" if self.chance.one_in(2) => {
                node.line(line("external", Scalar::boolean(true))).line(some("host-name", "x/y"))
            }
            "foreign" => node.line(line("external", Scalar::boolean(true))),
            _ => node,
        };
        for key in VOLUME {
            let is_free = match key.name {
                "ensure" => name != "foreign",
                "labels" | "lifecycle" => true,
                _ => false,
            };
            if is_free && self.chance.one_in(3) {
                node = self.key(key).into_iter().fold(node, Entry::line);
            }
        }
        node
    }

    fn sandbox(&mut self, number: usize) -> Node {
        let job = self.chance.one_in(3);
        let replicas = self.chance.one_in(2).then(|| self.chance.below(4));
        let marks = self.chance.one_in(3);
        self.of = Of { number, job, replicas, marks };
        let key = if job { "job" } else { "sandbox" };
        let node = Entry::node(key).with(Scalar::text(NAMES[number]));
        let node = match replicas {
            Some(count) => node.line(line("replicas", Scalar::number(count as u64))),
            None => node,
        };
        let node = self.block(node, SANDBOX, "sandbox");
        self.of.marks = false;
        node
    }

    /// Adds some of the keys to a node: at most one of several kinds.
    fn block(&mut self, node: Node, keys: &'static [Key], place: &str) -> Node {
        let lines = self.chosen(keys, place).into_iter().flat_map(|key| self.key(key));
        let lines: Vec<Node> = lines.collect();
        let node = if lines.is_empty() { node } else { Entry { origin: Origin::Block, ..node } };
        lines.into_iter().fold(node, Entry::line)
    }

    fn line(&mut self, node: Node, keys: &'static [Key], place: &str) -> Node {
        let mut node = node;
        for key in self.chosen(keys, place) {
            for value in self.key(key) {
                node.fields.push(Entry { origin: Origin::Property, ..value });
            }
        }
        node
    }

    fn chosen(&mut self, keys: &'static [Key], place: &str) -> Vec<&'static Key> {
        let rivals: Vec<&str> =
            kinds(place).iter().copied().filter(|kind| find(keys, kind, false).is_some()).collect();
        let one = if rivals.is_empty() { "" } else { *self.chance.pick(&rivals) };
        // Probes and values of the environment may be left out, what something is made of not.
        let needs_one = ["sandbox", "mount", "secret", "health"].contains(&place);
        let mut chosen = Vec::new();
        for key in keys {
            let skipped = match key.name {
                "from" | "remove" | "replicas" | "include" | "template" => true,
                "idle-timeout" | "health" => self.of.job,
                // One without the other says nothing.
                "ca-key" => true,
                "pattern" => true,
                _ => key.status == Status::NotYet,
            };
            let rival = rivals.contains(&key.name);
            let wanted = match rival {
                true => key.name == one && (needs_one || self.chance.one_in(2)),
                false => key.presence == Presence::Required || self.chance.one_in(5),
            };
            let always = matches!((place, key.name), ("secret", "hosts") | ("connect", "ports"));
            if !skipped && (wanted || always) {
                chosen.push(key);
            }
        }
        chosen
    }

    fn key(&mut self, key: &'static Key) -> Vec<Node> {
        let node = Entry::node(key.name);
        match (key.name, key.shape) {
            ("depends-on", _) => self.depends_on(),
            ("connect", Shape::Keyed { keys, .. }) => self.connect(keys),
            ("port", Shape::Rows(_)) => (0..=self.chance.below(2)).map(|_| self.port()).collect(),
            ("ignore-drift", _) => vec![node.with(self.field())],
            ("ca-cert", _) => ["ca-cert", "ca-key"].map(|key| line(key, self.path())).into(),
            ("named", Shape::Line { attributes, .. }) => vec![self.volume_of_mount(attributes)],
            (_, Shape::Scalar(ty)) => vec![node.with(self.value(key.name, ty))],
            (_, Shape::List(_)) if key.presence == Presence::Nullable && self.chance.one_in(4) => {
                vec![node.with(if self.of.job { Scalar::text("x") } else { Scalar::null() })]
            }
            (_, Shape::List(ty)) => vec![self.list(node, ty)],
            (_, Shape::Line { principal, attributes }) => {
                let begun = principal.required || self.chance.one_in(2);
                let node = if begun { node.with(self.value(key.name, principal.ty)) } else { node };
                vec![self.line(node, attributes, key.name)]
            }
            (_, Shape::Block { principal, keys }) => {
                let begun = principal.filter(|_| self.chance.one_in(2));
                let node = match begun {
                    Some(principal) => node.with(self.value(key.name, principal.ty)),
                    None => node,
                };
                let block = self.block(node, keys, key.name);
                let says = !block.fields.is_empty() || !block.items.is_empty();
                says.then_some(block).into_iter().collect()
            }
            (_, Shape::Map { key: ty, value }) => vec![self.map(node, ty, value)],
            (_, Shape::Keyed { identity, body, keys }) => {
                let name = self.value(key.name, identity);
                let node = node.with(Scalar { text: plain(&name.text).into(), ..name });
                vec![match body {
                    Body::Line => self.line(node, keys, key.name),
                    Body::Block => self.block(node, keys, key.name),
                }]
            }
            (_, Shape::Rows(keys)) => vec![self.line(node, keys, key.name)],
            (_, Shape::Tagged { tags, .. }) => {
                let rows = (0..=self.chance.below(3)).map(|_| self.rule(tags)).collect();
                vec![Entry { origin: Origin::Block, fields: rows, ..node }]
            }
        }
    }

    fn list(&mut self, node: Node, ty: Type) -> Node {
        let mut seen: Vec<String> = Vec::new();
        let mut node = node;
        for _ in 0..=self.chance.below(3) {
            let value = self.value("", ty);
            let rw = ["rw", "ro"].contains(&value.text.as_ref()) && !seen.is_empty();
            if !seen.contains(&value.text.to_string()) && !rw {
                seen.push(value.text.to_string());
                node = node.with(value);
            }
        }
        node
    }

    fn map(&mut self, node: Node, ty: Type, value: &'static Shape) -> Node {
        let mut map = Entry { origin: Origin::Block, ..node };
        for number in 0..=self.chance.below(3) {
            let key = match ty {
                Type::Choice(words) => (*self.chance.pick(words)).to_owned(),
                Type::EnvKey => format!("{}{number}", self.chance.pick(&["A", "_b.", "C-"])),
                _ => format!("{number}{}", self.label()),
            };
            if map.fields.iter().any(|field| field.key == key) {
                continue;
            }
            let member = Entry::node(key);
            map.fields.push(match *value {
                Shape::Line { principal, attributes } if ty == Type::EnvKey => {
                    if self.chance.one_in(2) {
                        member.with(self.value("", principal.ty))
                    } else {
                        let key = self.chance.below(attributes.len());
                        let Shape::Scalar(ty) = attributes[key].shape else { continue };
                        let value = self.value(attributes[key].name, ty);
                        member.property(attributes[key].name, value)
                    }
                }
                Shape::Line { attributes, .. } => {
                    let member = member.with(Scalar::number(9));
                    self.line(member, attributes, "")
                }
                Shape::Scalar(Type::Text(_)) => {
                    let label = self.label();
                    member.with(Scalar::text(escaped(&label).into_owned()))
                }
                Shape::Scalar(ty) => member.with(self.value("", ty)),
                _ => continue,
            });
        }
        map
    }

    fn depends_on(&mut self) -> Vec<Node> {
        // Those before it do not need it, so nothing goes round.
        let Some(target) = self.of.number.checked_sub(1) else { return Vec::new() };
        let node = Entry::node("depends-on").with(Scalar::text(NAMES[target]));
        let node = match self.chance.below(5) {
            0 => node.property("until", Scalar::text("started")),
            1 => node.property("until", Scalar::text("ready")),
            2 => node.property("until", Scalar::text("completed")),
            3 => node
                .property("until", Scalar::text("log"))
                .property("pattern", self.value("", Type::Regex)),
            _ => node,
        };
        let node = match self.chance.below(3) {
            0 => node.property("optional", Scalar::boolean(self.chance.one_in(2))),
            1 => node.property("on-change", Scalar::text("restart")),
            _ => node,
        };
        vec![node]
    }

    fn connect(&mut self, keys: &'static [Key]) -> Vec<Node> {
        let Some(target) = self.of.number.checked_sub(1) else { return Vec::new() };
        let node = Entry::node("connect").with(Scalar::text(NAMES[target]));
        vec![self.line(node, keys, "connect")]
    }

    fn port(&mut self) -> Node {
        let wide = self.chance.below(2) + 1;
        let first = 80 + 10 * self.fresh();
        let range = |first: usize, count: usize| match count {
            1 => Scalar::number(first as u64),
            _ => Scalar::text(format!("{first}-{}", first + count - 1)),
        };
        let node = Entry::node("port").property("guest", range(first, wide));
        let instances = self.of.replicas.unwrap_or(1);
        let node = match self.chance.below(3) {
            0 if instances > 0 => node.property("host", range(8000 + first, wide * instances)),
            1 => node.property("host", Scalar::text("auto")),
            _ => node,
        };
        let node = match self.chance.below(3) {
            0 => node.property("bind", self.value("", Type::Address)),
            _ => node,
        };
        if self.chance.one_in(3) { node.property("protocol", Scalar::text("udp")) } else { node }
    }

    fn rule(&mut self, tags: &'static [&'static str]) -> Node {
        let node = Entry::node(*self.chance.pick(tags)).with(self.value("", Type::Target));
        match self.chance.below(5) {
            0 => node.property("protocol", Scalar::text("icmp")),
            1 => node
                .property("protocol", Scalar::text("udp"))
                .property("ports", self.value("", Type::PortSet)),
            2 => Entry { items: vec![Scalar::text("10.0.0.0/8")], ..node }
                .property("direction", Scalar::text("ingress")),
            3 => node.property("ports", self.value("", Type::PortSet)),
            _ => node,
        }
    }

    fn volume_of_mount(&mut self, attributes: &'static [Key]) -> Node {
        if self.chance.one_in(2) {
            return Entry::node("named").with(Scalar::text(*self.chance.pick(VOLUMES)));
        }
        let name = format!("own-{}{}", self.fresh(), self.mark());
        let node = Entry::node("named").with(Scalar::text(name));
        let ensure = find(attributes, "ensure", false).map(|key| self.key(key));
        let ensure = ensure.map(|ensure| ensure[0].items[0].clone());
        match self.chance.below(3) {
            0 => {
                node.property("kind", Scalar::text("disk")).property("size", Scalar::text("64MiB"))
            }
            1 => node.property("quota", Scalar::text("none")),
            _ => node.property("ensure", ensure.unwrap_or_else(|| Scalar::text("create"))),
        }
    }

    fn field(&mut self) -> Scalar<'static> {
        let (field, _) = self.chance.pick(SANDBOX_FIELDS);
        Scalar::text(field.replace('*', "x"))
    }

    /// Returns what differs from instance to instance, now and then.
    fn mark(&mut self) -> &'static str {
        if self.of.marks && self.chance.one_in(3) {
            self.chance.pick::<&str>(&[
                "${replica.index}",
                "${replica.count}-${replica.index}",
                "${replica.index:+x}${replica.index}",
            ])
        } else {
            ""
        }
    }

    fn path(&mut self) -> Scalar<'static> {
        let number = self.fresh();
        let stem = *self.chance.pick(&["./d", "~/d", "/srv/x/../d", "$$${x}", "d e"]);
        let stem = escaped(stem).into_owned();
        Scalar::text(format!("{stem}{number}{}", self.mark()))
    }

    fn label(&mut self) -> String {
        let word = *self.chance.pick(WORDS);
        let plain = |c: char| !c.is_control();
        word.chars().filter(|c| plain(*c)).collect()
    }

    fn value(&mut self, key: &str, ty: Type) -> Scalar<'static> {
        let chance = &mut self.chance;
        let one = |chance: &mut Chance, all: &[&'static str]| Scalar::text(*chance.pick(all));
        match ty {
            Type::Text(_) => self.text(key),
            Type::Bool => Scalar::boolean(chance.one_in(2)),
            Type::Count(least, most) => {
                // A file is of the first format, and no machine has no processor.
                let most = if key == "format" { 1 } else { most };
                let span = usize::try_from(most - least).unwrap_or(usize::MAX).min(20);
                Scalar::number((least + chance.below(span + 1) as u64).max(1))
            }
            Type::Decimal => match key {
                "jitter" => number(chance.pick::<&str>(&["0", "0.125", "1"])),
                _ => number(chance.pick::<&str>(&["1", "1.5", "99.999"])),
            },
            Type::Size(1, _) => one(chance, &["1MiB", "1500KiB", "7B"]),
            Type::Size(..) => one(chance, &["64MiB", "1GiB", "1536MiB"]),
            Type::SizeOrNone => one(chance, &["none", "1GiB", "12345B"]),
            Type::Rate => one(chance, &["10MiB/s", "1B/s"]),
            Type::Duration(0) => one(chance, &["0s", "1h30m", "1ms"]),
            Type::Duration(_) => one(chance, &["1s", "1m30s", "1001ms", "1h"]),
            Type::Choice(words) if key == "update" => Scalar::text(words[0]),
            Type::Choice(words) => one(chance, words),
            Type::Name if key == "secret" => one(chance, SECRETS),
            Type::Name if key == "moved-from" => Scalar::text(format!("old-{}", self.fresh())),
            Type::Name | Type::Instance => one(chance, &["x", "y-1", "0"]),
            Type::VarName | Type::EnvKey => one(chance, &["PGPASS", "_X"]),
            Type::LabelKey => Scalar::text(self.label()),
            Type::GuestPath => {
                let number = self.fresh();
                let stem = *self.chance.pick(&["/a", "/b//c/./d", "/é f", "/${x}"]);
                Scalar::text(format!("{}{number}", escaped(stem)))
            }
            Type::HostPath => self.path(),
            Type::Image => one(
                chance,
                &[
                    "redis:7",
                    "docker.io/library/a/b:1",
                    "docker.io/a.b/c:2",
                    "localhost:5000/x:1",
                    "ghcr.io/acme/web:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                    "builtin:base",
                ],
            ),
            Type::User => one(chance, &["root", "1000:1000", "app"]),
            Type::Signal => one(chance, &["INT", "SIGHUP", "usr1"]),
            Type::Regex => one(chance, &["up$", "^x{2}$", "$${1}|a"]),
            Type::Port => Scalar::number(1 + chance.below(65_535) as u64),
            Type::PortRange | Type::HostPort => one(chance, &["80", "80-81"]),
            Type::PortSet => one(chance, &["80", "443,8443", "1-1024,80", "any"]),
            Type::Address => one(chance, &["127.0.0.1", "0.0.0.0", "::1", "::"]),
            Type::Server => one(chance, &["1.1.1.1", "1.1.1.1:5353", "[2606:4700::1111]:54"]),
            Type::HostPattern => self.host(),
            Type::Target => one(
                chance,
                &["any", "public", "10.0.0.0/8", "::1", "api.acme.example", "*.b.example"],
            ),
            Type::Mode => one(chance, &["0700", "1777", "0"]),
            Type::Limit => one(chance, &["10", "unlimited"]),
        }
    }

    fn host(&mut self) -> Scalar<'static> {
        let number = self.fresh();
        let star = if self.chance.one_in(3) { "*." } else { "" };
        Scalar::text(format!("{star}h{number}.example"))
    }

    fn text(&mut self, key: &str) -> Scalar<'static> {
        match key {
            "placeholder" => return Scalar::text(format!("placeholder-{}-$$x", self.fresh())),
            "host" => return Scalar::text("a.example"),
            "status" => return Scalar::text("200,204,300-302"),
            "on-change" => return Scalar::text("signal:HUP"),
            "http" => return Scalar::text("/up?a=$${b}"),
            "host-name" => return Scalar::text("x/y"),
            _ => {}
        }
        let word = self.chance.pick(WORDS).replace('\0', "");
        // A command is more than one word, and begins with one.
        let word = if word.trim().is_empty() { "x".to_owned() } else { word.replace(' ', "_") };
        Scalar::text(format!("{}{}", escaped(&word), self.mark()))
    }
}

/// Returns a text as it is once it is filled in; what tells nodes apart is never filled in.
fn plain(text: &str) -> String {
    text.replace("$$", "$")
}

fn line(key: &'static str, value: Scalar<'static>) -> Node {
    Entry::node(key).with(value)
}

fn number(text: &'static str) -> Scalar<'static> {
    Scalar::new(text.into(), ScalarKind::Number, Span::NOWHERE)
}

fn below(key: &Key) -> &'static [Key] {
    match key.shape {
        Shape::Block { keys, .. } | Shape::Keyed { keys, .. } => keys,
        _ => &[],
    }
}
