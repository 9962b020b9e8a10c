//! One volume of the file against what is there: made, used, or in the way.

use schema::change::{self, Class};
use schema::name::VolumeName;
use schema::project::{Direction, Ensure, FieldChange, Volume, VolumeKind};

use super::value::{Address, Field, Reason, Refusal};
use super::wish::Wish;
use crate::observe::{Observed, SeenVolume};

/// What is to be done about one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VolumeVerdict {
    /// It is there and fits.
    InOrder,
    /// It is made.
    Create(Reason, Vec<Field>),
    /// It is made larger, with its users stopped.
    Grow(Reason, Vec<Field>),
    /// Something that only state knows of it changes.
    Update(Reason, Vec<Field>),
    /// It may not be used as written.
    Refuse(Refusal),
}

/// Judges one volume of the file.
pub(super) fn judge(
    wish: &Wish,
    observed: &Observed,
    name: &VolumeName,
    want: &Volume,
) -> VolumeVerdict {
    match observed.volumes.get(name) {
        None => absent(wish, name, want),
        Some(seen) => present(wish, name, want, seen),
    }
}

fn absent(wish: &Wish, name: &VolumeName, want: &Volume) -> VolumeVerdict {
    if want.ensure == Ensure::MustExist {
        let hint =
            format!("Create it with `msb volume create {name}`, or write ensure=\"ensure\".");
        return refuse(wish, name, "msb::volume::not-found", "it does not exist", Some(hint));
    }
    if want.kind != Some(VolumeKind::Disk) {
        let hint = "Write kind=\"disk\" and a size.".to_owned();
        let text = "volumes of kind dir are not supported yet";
        return refuse(wish, name, "msb::usage::not-yet", text, Some(hint));
    }
    let Some(size) = want.size else {
        let hint = "Write its size, as in size=\"1GiB\".".to_owned();
        let text = "a disk that is to be made needs a size";
        return refuse(wish, name, "msb::schema::missing-key", text, Some(hint));
    };
    let field = |path: &str, after: String| Field {
        path: path.to_owned(),
        before: None,
        after: Some(after),
        class: Class::Recreate,
        sensitive: false,
        place: place(wish, name, path),
    };
    let fields = vec![field("kind", "disk".to_owned()), field("size", size.to_string())];
    VolumeVerdict::Create(Reason { code: "new", text: "new".to_owned() }, fields)
}

fn present(wish: &Wish, name: &VolumeName, want: &Volume, seen: &SeenVolume) -> VolumeVerdict {
    let ours = seen.owner.as_ref() == Some(&wish.project.name);
    if want.ensure == Ensure::Create && !ours {
        let owner = seen.owner.as_ref().map_or("nobody", |owner| owner.as_str());
        let hint = "Write ensure=\"ensure\" to use it as it is.".to_owned();
        let text = format!("it exists already and belongs to {owner}");
        return refuse(wish, name, "msb::volume::exists", &text, Some(hint));
    }
    let changes: Vec<FieldChange> = as_found(want, seen).differing(want);
    let fields: Vec<Field> = changes.iter().map(|change| field(wish, name, change)).collect();
    let gone = |path: &str| fields.iter().find(|field| field.path == path);
    if let Some(kind) = gone("kind") {
        let text = format!(
            "it is {}, the file says {}",
            told(kind.before.as_ref()),
            told(kind.after.as_ref())
        );
        return refuse(wish, name, "msb::volume::mismatch", &text, None);
    }
    if let Some(size) = gone("size") {
        let (before, after) = (told(size.before.as_ref()), told(size.after.as_ref()));
        if size.class < Class::DataLoss {
            return if ours {
                let reason = Reason { code: "edited", text: "it grows".to_owned() };
                VolumeVerdict::Grow(reason, fields)
            } else {
                let text = format!("size {before} → {after}: it belongs to somebody else");
                refuse(wish, name, "msb::volume::mismatch", &text, None)
            };
        }
        if seen.row.protect {
            let text = format!("size {before} → {after}: protected");
            let hint =
                "Write lifecycle { protect #false }, run `msb up`, then change it.".to_owned();
            return refuse(wish, name, "msb::protect::refused", &text, Some(hint));
        }
        let hint = format!("Write the size that it has: {before}.");
        let text = format!("it has {before}, the file says {after}");
        return refuse(wish, name, "msb::volume::mismatch", &text, Some(hint));
    }
    let edits: Vec<Field> = fields.into_iter().filter(|f| f.class > Class::None).collect();
    if edits.is_empty() || !ours {
        return VolumeVerdict::InOrder;
    }
    VolumeVerdict::Update(Reason { code: "edited", text: String::new() }, edits)
}

/// Returns the volume as it is, in the words of the file; what the file leaves open is as found.
fn as_found(want: &Volume, seen: &SeenVolume) -> Volume {
    let size = seen.row.size_bytes.map(schema::units::Bytes);
    Volume {
        kind: want.kind.map(|_| seen.row.kind),
        size: want.size.and(size),
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
        place: place(wish, name, &change.path),
    }
}

fn told(value: Option<&String>) -> &str {
    value.map_or("nothing", String::as_str)
}

fn place(wish: &Wish, name: &VolumeName, path: &str) -> Option<schema::project::Place> {
    wish.origins.nearest(&format!("volume.{name}"), path)
}

fn refuse(
    wish: &Wish,
    name: &VolumeName,
    code: &'static str,
    text: &str,
    hint: Option<String>,
) -> VolumeVerdict {
    VolumeVerdict::Refuse(Refusal {
        address: Some(Address::Volume(name.clone())),
        code,
        text: text.to_owned(),
        hint,
        place: place(wish, name, "size"),
    })
}
