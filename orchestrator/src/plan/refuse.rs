//! What no flag and no answer makes possible: ownership, protection, mass deletion.

use schema::change::Class;
use schema::lifecycle::Phase;
use schema::name::InstanceName;
use schema::project::{ImageRef, Pull};

use super::scene::{self, Scene, is_up};
use super::unbuilt;
use super::value::{Action, Address, Change, Refusal};
use super::wish::{Goal, Reach, Wish};
use crate::observe::{Observed, SeenVolume, Source};

/// More destroyed instances than this, and more than half, is a mass deletion.
const MASS_DELETE_ABOVE: usize = 3;

const LIFT: &str =
    "Write lifecycle { protect #false }, run `msb up`, then change it in a second run.";

/// Takes the changes that may not be made out of `changes` and says why.
pub(super) fn refuse(
    wish: &Wish,
    observed: &Observed,
    scene: &Scene<'_>,
    changes: &mut Vec<Change>,
) -> Vec<Refusal> {
    let mut refused: Vec<Refusal> = owner(wish, observed).into_iter().collect();
    refused.extend(missing_images(wish, observed, changes));
    refused.extend(changes.iter().flat_map(|change| not_built(wish, change)));
    refused.extend(too_large(wish, observed, scene));
    changes.retain(|change| match protection(observed, scene, change) {
        None => true,
        Some(refusal) => {
            refused.push(refusal);
            false
        }
    });
    refused.extend(changes.iter().filter_map(|change| name_taken(observed, change)));
    refused.extend(mass_delete(wish, observed, changes));
    refused.extend(changes.iter().filter_map(|change| held_elsewhere(observed, changes, change)));
    refused.extend(match (wish.goal, wish.selection.reach) {
        (Goal::Down, _) if wish.is_partial() => left_behind(observed, scene),
        (Goal::Up | Goal::Undrifted, Reach::Alone) => left_alone(observed, scene),
        _ => Vec::new(),
    });
    refused
}

fn refusal(name: &InstanceName, code: &'static str, text: String, hint: String) -> Refusal {
    let address = Some(Address::Sandbox(name.clone()));
    Refusal { address, word: "", code, text, hint: Some(hint), place: None }
}

/// The name or the folder is taken by another project.
fn owner(wish: &Wish, observed: &Observed) -> Option<Refusal> {
    if wish.goal != Goal::Up {
        return None;
    }
    let name = &wish.project.name;
    let (code, text, hint) = match (&observed.project, &observed.same_folder) {
        (Some(row), _) if row.folder != wish.project.folder => (
            "msb::owner::elsewhere",
            format!("project {name} belongs to {}", row.folder.display()),
            "Choose another name with `-p NAME`, or take it over with `msb adopt --moved`."
                .to_owned(),
        ),
        (None, Some(other)) => (
            "msb::owner::renamed",
            format!("this folder belongs to project {other}"),
            format!(
                "Go on under the old name with `-p {other}`, or rename it with `msb adopt --moved`."
            ),
        ),
        _ => return None,
    };
    Some(Refusal { address: None, word: "", code, text, hint: Some(hint), place: None })
}

/// An image that is not here, and that may not be fetched.
fn missing_images(wish: &Wish, observed: &Observed, changes: &[Change]) -> Vec<Refusal> {
    let mut refused = Vec::new();
    for change in changes.iter().filter(|change| change.action.boots()) {
        let Some(want) = change.address.sandbox().and_then(|n| wish.project.sandboxes.get(n))
        else {
            continue;
        };
        let Some(image) = want.root.image() else { continue };
        let reference = &image.reference;
        let may_be_fetched = image.pull != Pull::Never && !wish.pins.offline;
        if matches!(reference, ImageRef::Builtin(_))
            || !observed.absent.contains(reference)
            || may_be_fetched
        {
            continue;
        }
        let short = reference.short();
        let why =
            if wish.pins.offline { "--offline asks no registry" } else { "`pull` is \"never\"" };
        refused.push(Refusal {
            address: Some(change.address.clone()),
            word: change.action.as_str(),
            code: "msb::image::not-found",
            text: match observed.locked.get(reference) {
                Some(place) => format!(
                    "image {short} as {}:{} pins it is not in the store, and {why}",
                    place.file, place.line
                ),
                None => format!("image {short} is not in the store, and {why}"),
            },
            hint: Some(format!(
                "Bring it with `msb pull {short}`, or from an archive with `msb load -i FILE -t {short}`."
            )),
            place: change
                .fields
                .iter()
                .find(|f| f.path == "image")
                .and_then(|f| f.place.clone())
                .or_else(|| change.place.clone()),
        });
    }
    refused
}

/// What the file asks for and no machine does yet.
fn not_built(wish: &Wish, change: &Change) -> Vec<Refusal> {
    let goes = matches!(change.action, Action::Destroy | Action::Forget | Action::Stop);
    let Some(name) = change.address.sandbox().filter(|_| !goes) else {
        return Vec::new();
    };
    let Some(want) = wish.project.sandboxes.get(name) else { return Vec::new() };
    let at = format!("sandbox.{}", name.sandbox);
    let fields = unbuilt(want, |field| wish.origins.is_written(&at, field));
    let refusal = |field: String| Refusal {
        address: Some(change.address.clone()),
        word: change.action.as_str(),
        code: "msb::usage::not-yet",
        text: format!("{field}: not supported yet"),
        hint: Some("Leave it out for now; it is never ignored silently.".to_owned()),
        place: wish.origins.nearest(&at, &field),
    };
    fields.into_iter().map(refusal).collect()
}

/// A mounted file with more in it than is compared; one that is never looked at may be any size.
fn too_large(wish: &Wish, observed: &Observed, scene: &Scene<'_>) -> Vec<Refusal> {
    let sources = observed.sources.iter().filter(|(_, source)| **source == Source::TooLarge);
    let large = sources.filter(|((name, _), _)| wish.goal != Goal::Down && scene.has(name));
    let refusal = |(name, path): &(InstanceName, String)| Refusal {
        address: Some(Address::Sandbox(name.clone())),
        word: "",
        code: "msb::mount::too-large",
        text: format!("{path}: a file whose changes count has 16 MiB or less"),
        hint: Some("Mount a smaller one, or leave `on-change` out.".to_owned()),
        place: wish.origins.nearest(&format!("sandbox.{}", name.sandbox), path),
    };
    large.map(|(at, _)| refusal(at)).collect()
}

/// What is protected is neither destroyed nor made anew.
fn protection(observed: &Observed, scene: &Scene<'_>, change: &Change) -> Option<Refusal> {
    let protected = match &change.address {
        Address::Sandbox(name) => {
            let goes = matches!(change.action, Action::Destroy | Action::Recreate);
            goes && scene.chosen.get(name)?.seen?.row.protect
        }
        Address::Volume(name) => {
            change.action == Action::Trash && observed.volumes.get(name)?.row.protect
        }
        Address::Image(_) => false,
    };
    protected.then(|| Refusal {
        address: Some(change.address.clone()),
        word: change.action.as_str(),
        code: "msb::protect::refused",
        text: "protected".to_owned(),
        hint: Some(LIFT.to_owned()),
        place: change.place.clone(),
    })
}

/// Who is forgotten goes on under its own name, which nobody else may have there.
fn name_taken(observed: &Observed, change: &Change) -> Option<Refusal> {
    let name = change.address.sandbox().filter(|_| change.action == Action::Forget)?;
    observed.adhoc.contains(name).then(|| {
        let text = format!("kept, but project adhoc has a {name} already");
        let hint = format!("Remove the other one with `msb rm adhoc/{name}`.");
        refusal(name, "msb::owner::foreign", text, hint)
    })
}

fn mass_delete(wish: &Wish, observed: &Observed, changes: &[Change]) -> Option<Refusal> {
    if wish.goal != Goal::Up || wish.selection.allow_mass_delete {
        return None;
    }
    let destroyed = changes.iter().filter(|change| change.action == Action::Destroy).count();
    let all = observed.sandboxes.len();
    let emptied = wish.project.sandboxes.is_empty() && destroyed > 0;
    let mass = destroyed > MASS_DELETE_ABOVE && destroyed * 2 > all;
    (emptied || mass).then(|| Refusal {
        address: None,
        word: Action::Destroy.as_str(),
        code: "msb::plan::mass-delete",
        text: format!("{destroyed} of {all} sandboxes would be destroyed"),
        hint: Some("Say `--allow-mass-delete` if that is meant, or `msb down`.".to_owned()),
        place: None,
    })
}

/// What runs outside the choice and needs what goes.
fn left_behind(observed: &Observed, scene: &Scene<'_>) -> Vec<Refusal> {
    let mut refused = Vec::new();
    for (name, seen) in observed.sandboxes.iter().filter(|(_, seen)| seen.is_alive()) {
        if scene.has(name) {
            continue;
        }
        let lost = scene::needs(seen).find_map(|target| scene.meant(target).next());
        if let Some((target, _)) = lost {
            let text = format!("{name} runs and depends on it");
            let hint = "Say `--with-dependents` to take them along.".to_owned();
            refused.push(refusal(target, "msb::plan::dependents", text, hint));
        }
    }
    refused
}

/// What is chosen without what it needs, and that is not up.
fn left_alone(observed: &Observed, scene: &Scene<'_>) -> Vec<Refusal> {
    let mut refused = Vec::new();
    for (name, pair) in &scene.chosen {
        for (target, dependency) in pair.want.into_iter().flat_map(|want| &want.depends_on) {
            if dependency.optional || scene.meant(target).next().is_some() {
                continue;
            }
            let Some(phase) = not_up(observed, target) else { continue };
            let text = format!("{target}, which it depends on, is {}", phase.as_str());
            let hint = "Leave `--no-deps` out, or start it first.".to_owned();
            refused.push(refusal(name, "msb::sandbox::not-running", text, hint));
        }
    }
    refused
}

/// Returns where the first instance of `target` is that is not up; `None` where all are.
fn not_up(observed: &Observed, target: &InstanceName) -> Option<Phase> {
    let mut phases =
        super::meant(&observed.sandboxes, target).map(|(_, seen)| seen.phase()).peekable();
    if phases.peek().is_none() { Some(Phase::Absent) } else { phases.find(|phase| !is_up(*phase)) }
}

/// A volume that changes while somebody has it who does not rest for that: one that is let go, or
/// another project's, whose data it would be.
fn held_elsewhere(observed: &Observed, changes: &[Change], change: &Change) -> Option<Refusal> {
    let Address::Volume(name) = change.was.as_ref().unwrap_or(&change.address) else { return None };
    let is_new = matches!(change.action, Action::Create | Action::Trash);
    let seen = observed.volumes.get(name).filter(|_| !is_new && change.class >= Class::Restart)?;
    let loses = change.class == Class::DataLoss;
    let has = |row: &str| seen.uses.iter().any(|one| one.sandbox_id == row);
    let forgotten = changes.iter().filter(|other| other.action == Action::Forget);
    let holder = forgotten.filter_map(|other| other.address.sandbox()).find(|name| {
        let kept = observed.sandboxes.get(*name);
        kept.is_some_and(|kept| has(&kept.row.id) && (loses || kept.is_alive()))
    });
    let (who, hint) = match holder {
        Some(name) => (
            format!("{name}, which is no longer in the file,"),
            format!("Take it away with `msb down {name}`, or write it in the file again."),
        ),
        None if loses && is_used_elsewhere(observed, seen) => (
            "a sandbox of another project".to_owned(),
            format!("Take that away first; `msb volume inspect {name}` names it."),
        ),
        None => return None,
    };
    Some(Refusal {
        address: Some(change.address.clone()),
        word: change.class.as_str(),
        code: "msb::volume::in-use",
        text: format!("{}: {who} has it", change.reason.text),
        hint: Some(hint),
        place: change.fields.first().and_then(|field| field.place.clone()),
    })
}

/// Tells whether a sandbox of another project mounts a volume.
pub(super) fn is_used_elsewhere(observed: &Observed, seen: &SeenVolume) -> bool {
    let ours = |id: &str| observed.sandboxes.values().any(|seen| seen.row.id == id);
    seen.uses.iter().any(|one| !ours(&one.sandbox_id))
}

/// Tells whether a refusal is about the host rather than about a rule: exit 1, not 77.
#[must_use]
pub fn is_preflight(refusal: &Refusal) -> bool {
    matches!(
        refusal.code,
        "msb::image::not-found"
            | "msb::volume::not-found"
            | "msb::volume::exists"
            | "msb::volume::mismatch"
            | "msb::usage::not-yet"
            | "msb::mount::too-large"
            | "msb::ports::in-use"
    )
}

/// Returns the address as people write it, for a message.
#[must_use]
pub fn subject(address: Option<&Address>) -> String {
    address.map_or_else(String::new, |address| format!("{}: ", address.name()))
}
