//! One volume of the file against what is there: made, used, or in the way.

use schema::change::{self, Class};
use schema::name::VolumeName;
use schema::project::{Direction, Ensure, FieldChange, Place, Quota, Volume, VolumeKind};

use super::change::because;
use super::value::{Action, Address, Field, Reason, Refusal};
use super::wish::Wish;
use crate::observe::{Observed, SeenVolume};

/// What is to be done about one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VolumeVerdict {
    /// It is there and fits.
    InOrder,
    /// It changes.
    Change(VolumeChange),
    /// It may not be used as written.
    Refuse(Refusal),
}

/// How one volume changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VolumeChange {
    pub(super) action: Action,
    pub(super) class: Class,
    pub(super) reason: Reason,
    pub(super) fields: Vec<Field>,
    /// What it is called until now, where that is another name.
    pub(super) was: Option<VolumeName>,
}

impl VolumeChange {
    /// Tells whether its users are at rest while it changes.
    pub(super) fn stops_users(&self) -> bool {
        self.class >= Class::Restart && self.action != Action::Create
    }
}

/// Judges one volume of the file.
pub(super) fn judge(
    wish: &Wish,
    observed: &Observed,
    name: &VolumeName,
    want: &Volume,
) -> VolumeVerdict {
    if let Some(seen) = observed.volumes.get(name) {
        return present(wish, (name, want), seen, None);
    }
    let old = want.moved_from.as_ref().and_then(|old| Some((old, observed.volumes.get(old)?)));
    match old.filter(|(_, seen)| is_ours(wish, seen)) {
        Some((old, seen)) => present(wish, (name, want), seen, Some(old)),
        None => absent(wish, name, want),
    }
}

fn is_ours(wish: &Wish, seen: &SeenVolume) -> bool {
    seen.owner.as_ref() == Some(&wish.project.name)
}

fn absent(wish: &Wish, name: &VolumeName, want: &Volume) -> VolumeVerdict {
    let code = "msb::volume::not-found";
    if let Some(external) = &want.external {
        let text = format!("{external}, which is somebody else's, does not exist");
        let hint = "Create it there, or leave `external` out.".to_owned();
        return refuse(wish, (name, "host-name"), code, &text, Some(hint));
    }
    if want.ensure == Ensure::MustExist {
        let hint =
            format!("Create it with `msb volume create {name}`, or write ensure=\"ensure\".");
        return refuse(wish, (name, "ensure"), code, "it does not exist", Some(hint));
    }
    let own = match (want.kind, want.size) {
        (Some(VolumeKind::Disk), None) => {
            let hint = "Write its size, as in size=\"1GiB\".".to_owned();
            let text = "a disk that is to be made needs a size";
            return refuse(wish, (name, "size"), "msb::schema::missing-key", text, Some(hint));
        }
        (Some(VolumeKind::Disk), Some(size)) => {
            [("kind", "disk".to_owned()), ("size", size.to_string())]
        }
        (Some(VolumeKind::Dir) | None, _) => {
            let quota = want.quota.unwrap_or(Volume::QUOTA);
            [("kind", "dir".to_owned()), ("quota", quota.to_string())]
        }
    };
    let field = |path: &str, after: String| Field {
        path: path.to_owned(),
        before: None,
        after: Some(after),
        class: Class::Recreate,
        sensitive: false,
        widens: false,
        place: place(wish, name, path),
    };
    let fields = own.into_iter().map(|(path, after)| field(path, after)).collect();
    let (action, class, reason) = (Action::Create, Class::Recreate, because("new", "new"));
    VolumeVerdict::Change(VolumeChange { action, class, reason, fields, was: None })
}

fn present(
    wish: &Wish,
    (name, want): (&VolumeName, &Volume),
    seen: &SeenVolume,
    was: Option<&VolumeName>,
) -> VolumeVerdict {
    if want.external.is_some() {
        return VolumeVerdict::InOrder;
    }
    let ours = is_ours(wish, seen);
    if want.ensure == Ensure::Create && !ours {
        let owner = seen.owner.as_ref().map_or("nobody", |owner| owner.as_str());
        let hint = "Write ensure=\"ensure\" to use it as it is.".to_owned();
        let text = format!("it exists already and belongs to {owner}");
        return refuse(wish, (name, "ensure"), "msb::volume::exists", &text, Some(hint));
    }
    let at = format!("volume.{name}");
    let protect = wish.holds(&at, "lifecycle.protect", (seen.row.protect, want.protect));
    let want = &Volume { protect, ..want.clone() };
    let changes: Vec<FieldChange> = as_found(want, seen).differing(want);
    let fields = changes.iter().map(|change| field(wish, name, change));
    let fields: Vec<Field> = fields.filter(|field| field.class > Class::None).collect();
    let class = fields.iter().map(|field| field.class).max().unwrap_or(Class::None);
    let gravest = fields.iter().find(|field| field.class == class);
    let Some(gravest) = gravest.filter(|_| ours || class >= Class::Live) else {
        return in_order_but_moved(was);
    };
    if !ours {
        let told = told(gravest);
        let text = format!("{told}: it belongs to somebody else");
        return refuse(wish, (name, &gravest.path), "msb::volume::mismatch", &text, None);
    }
    if class == Class::DataLoss && seen.row.protect {
        let text = format!("{}: protected", told(gravest));
        let hint = "Write lifecycle { protect #false }, run `msb up`, then change it in a \
                    second run."
            .to_owned();
        return refuse(wish, (name, &gravest.path), "msb::protect::refused", &text, Some(hint));
    }
    let (action, reason) = match class {
        Class::DataLoss => (Action::Recreate, because("edited", "it is made anew, empty")),
        Class::Restart => (Action::Update, because("edited", "it grows")),
        _ => (Action::Update, because("edited", "")),
    };
    VolumeVerdict::Change(VolumeChange { action, class, reason, fields, was: was.cloned() })
}

fn in_order_but_moved(was: Option<&VolumeName>) -> VolumeVerdict {
    let Some(was) = was else { return VolumeVerdict::InOrder };
    let (action, class) = (Action::Move, Class::Meta);
    let reason = because("moved", format!("it was {was}"));
    let was = Some(was.clone());
    VolumeVerdict::Change(VolumeChange { action, class, reason, fields: Vec::new(), was })
}

fn told(field: &Field) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!("{} {} → {}", field.path, value(&field.before), value(&field.after))
}

/// Returns the volume as it is, in the words of the file; what the file leaves open is as found.
fn as_found(want: &Volume, seen: &SeenVolume) -> Volume {
    let size = seen.row.size_bytes.map(schema::units::Bytes);
    let quota = seen.row.quota_bytes.map_or(Quota::None, |q| Quota::Bytes(schema::units::Bytes(q)));
    Volume {
        kind: want.kind.map(|_| seen.row.kind),
        size: want.size.and(size),
        quota: want.quota.map(|_| quota),
        labels: seen.row.labels.clone(),
        protect: seen.row.protect,
        ..want.clone()
    }
}

fn field(wish: &Wish, name: &VolumeName, change: &FieldChange) -> Field {
    let class = match (change.path.as_str(), change.direction) {
        // Only state remembers these; a machine never sees them.
        ("size", Direction::Other) => Class::None,
        _ => change::volume_class(change),
    };
    Field {
        path: change.path.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
        class,
        sensitive: false,
        widens: false,
        place: place(wish, name, &change.path),
    }
}

pub(super) fn place(wish: &Wish, name: &VolumeName, path: &str) -> Option<Place> {
    wish.origins.nearest(&format!("volume.{name}"), path)
}

fn refuse(
    wish: &Wish,
    (name, path): (&VolumeName, &str),
    code: &'static str,
    text: &str,
    hint: Option<String>,
) -> VolumeVerdict {
    VolumeVerdict::Refuse(Refusal {
        address: Some(Address::Volume(name.clone())),
        word: if code == "msb::protect::refused" { Class::DataLoss.as_str() } else { "" },
        code,
        text: text.to_owned(),
        hint,
        place: place(wish, name, path),
    })
}
