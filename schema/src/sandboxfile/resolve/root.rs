//! What a sandbox is made from: an image, a disk or a folder of the host.

use super::decode::Decoder;
use crate::project::{HostRoot, Image, ImageRef, Kind, Platform, Pull, Root, Write};
use crate::sandboxfile::document::{Group, Item, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::Scalar;
use crate::sandboxfile::value;

const KINDS: [&str; 3] = ["image", "root-disk", "root-dir"];

impl Decoder<'_, '_> {
    /// Reads the one root of a sandbox or job; `None` where it has been reported.
    pub(super) fn root(
        &mut self,
        group: &Group<'_>,
        kind: Kind,
        member: &Member<'_>,
    ) -> Option<Root> {
        let mut written = KINDS.into_iter().filter_map(|name| group.get(name));
        let Some(first) = written.next() else {
            self.no_root(group, kind, member);
            return None;
        };
        if let Some(second) = written.next() {
            let message = format!("`{}` and `{}` are two roots", first.key.name, second.key.name);
            let help = "keep one: a sandbox is made from one thing";
            self.conflict(&message, (second.at, first.at), help);
            return None;
        }
        self.note(first.key.name, first.at);
        let (item, inner) = group.group(first.key.name)?;
        if first.key.name == "image" {
            return self.image(item, inner).map(Root::Image);
        }
        let root = self.host_root(item, inner)?;
        self.upper_fits(group, root.write);
        Some(if first.key.name == "root-disk" { Root::Disk(root) } else { Root::Dir(root) })
    }

    fn no_root(&mut self, group: &Group<'_>, kind: Kind, member: &Member<'_>) {
        if KINDS.iter().any(|name| group.mentions(name)) || group.dropped.contains(&"from") {
            return;
        }
        let noun = if kind == Kind::Job { "job" } else { "sandbox" };
        let message = format!("{noun} `{}` has no image", shown(&member.name));
        let yaml = self.is_yaml(member.at);
        let help = if yaml { "add image: builtin:base" } else { "add image \"builtin:base\"" };
        let help = format!("{help}, or the image that you want");
        self.error(Code::SCHEMA_MISSING_KEY, message, member.at, &help);
    }

    fn image(&mut self, item: &Item<'_>, inner: &Group<'_>) -> Option<Image> {
        let (scalar, _) = Self::principal(item, inner)?;
        let help = "write HOST/PATH:TAG, such as \"ghcr.io/acme/web:1.4\"";
        let read = value::checked(scalar, Code::VALUE_IMAGE, ImageRef::parse, help);
        let reference = self.take(read);
        if let Some(ImageRef::Registry(_)) = reference
            && ImageRef::is_unpinned(&scalar.text)
        {
            self.warn_latest(scalar);
        }
        let never = self.choice(inner, "pull", "image.pull") == Some("never");
        let platform =
            self.choice(inner, "platform", "image.platform").map(|platform| match platform {
                "linux/arm64" => Platform::LinuxArm64,
                _ => Platform::LinuxAmd64,
            });
        let pull = if never { Pull::Never } else { Pull::Missing };
        Some(Image { reference: reference?, pull, platform })
    }

    fn warn_latest(&mut self, scalar: &Scalar<'_>) {
        let text = shown(scalar.told());
        let message = format!("`{text}` has no tag, so it is `latest`, whatever that is today");
        let problem = Problem::warning(Code::VALUE_LATEST, message, scalar.span);
        self.problems.push(problem.help(format!("write a tag: \"{text}:TAG\"")));
    }

    fn host_root(&mut self, item: &Item<'_>, inner: &Group<'_>) -> Option<HostRoot> {
        let (scalar, _) = Self::principal(item, inner)?;
        let path = self.host_path(scalar);
        let write = match self.choice(inner, "write", "root.write") {
            Some("in-place") => Write::InPlace,
            Some("none") => Write::None,
            _ => Write::Private,
        };
        let path = path?;
        self.is_raw(&path, scalar)?;
        Some(HostRoot { path, write })
    }

    /// Refuses disk images that are not raw; the host never probes one.
    pub(super) fn is_raw(&mut self, path: &std::path::Path, scalar: &Scalar<'_>) -> Option<()> {
        if crate::project::disk_format(path).is_none() {
            return Some(());
        }
        let message = format!("`{}` is not a raw image", shown(scalar.told()));
        let raw = path.with_extension("raw");
        let names = (path.file_name().unwrap_or_default(), raw.file_name().unwrap_or_default());
        let (from, to) = (names.0.to_string_lossy(), names.1.to_string_lossy());
        let help = format!("convert it: qemu-img convert -O raw {} {}", shown(&from), shown(&to));
        self.error(Code::VALUE_PATH, message, scalar.span, &help);
        None
    }

    /// A root that is written in place, or not at all, has no upper.
    fn upper_fits(&mut self, group: &Group<'_>, write: Write) {
        if write == Write::Private {
            return;
        }
        if let Some(item) = group.get("upper") {
            let message = format!("a root with write \"{}\" has no upper", write.as_str());
            let help = "leave `upper` out, or write write=\"private\"";
            self.error(Code::SCHEMA_CONFLICT, message, item.at, help);
        }
    }
}
