//! What no flag and no answer makes possible: ownership, protection, mass deletion.

use schema::project::ImageRef;

use super::unbuilt;
use super::value::{Action, Address, Change, Refusal};
use super::wish::{Goal, Wish};
use crate::observe::Observed;

/// More destroyed instances than this, and more than half, is a mass deletion.
const MASS_DELETE_ABOVE: usize = 3;

/// Takes the changes that may not be made out of `changes` and says why.
pub(super) fn refuse(wish: &Wish, observed: &Observed, changes: &mut Vec<Change>) -> Vec<Refusal> {
    let mut refused: Vec<Refusal> = owner(wish, observed).into_iter().collect();
    refused.extend(missing_images(wish, observed, changes));
    refused.extend(changes.iter().flat_map(|change| not_built(wish, change)));
    changes.retain(|change| match protection(observed, change) {
        None => true,
        Some(refusal) => {
            refused.push(refusal);
            false
        }
    });
    refused.extend(mass_delete(wish, observed, changes));
    refused
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
            "Choose another name with `-p NAME`.".to_owned(),
        ),
        (None, Some(other)) => (
            "msb::owner::renamed",
            format!("this folder belongs to project {other}"),
            format!("Go on under the old name with `-p {other}`, or use another folder."),
        ),
        _ => return None,
    };
    Some(Refusal { address: None, code, text, hint: Some(hint), place: None })
}

/// An image that nothing here can come by.
fn missing_images(wish: &Wish, observed: &Observed, changes: &[Change]) -> Vec<Refusal> {
    let boots = |change: &&Change| {
        !matches!(change.action, Action::Destroy | Action::Update | Action::Stop)
    };
    let mut refused = Vec::new();
    for change in changes.iter().filter(boots) {
        let Some(want) = change.address.sandbox().and_then(|n| wish.project.sandboxes.get(n))
        else {
            continue;
        };
        let Some(reference) = want.root.reference() else { continue };
        if matches!(reference, ImageRef::Builtin(_))
            || !matches!(observed.images.get(reference), Some(None))
        {
            continue;
        }
        let short = reference.short();
        refused.push(Refusal {
            address: Some(change.address.clone()),
            code: "msb::image::not-found",
            text: format!(
                "image {short} is not in the store, and registries are not supported yet"
            ),
            hint: Some(format!("Load it from an archive with `msb load -i FILE -t {short}`.")),
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
    let Some(name) = change.address.sandbox().filter(|_| change.action != Action::Destroy) else {
        return Vec::new();
    };
    let Some(want) = wish.project.sandboxes.get(name) else { return Vec::new() };
    let at = format!("sandbox.{}", name.sandbox);
    let fields = unbuilt(want, |field| wish.origins.is_written(&at, field));
    let refusal = |field: String| Refusal {
        address: Some(change.address.clone()),
        code: "msb::usage::not-yet",
        text: format!("{field}: not supported yet"),
        hint: Some("Leave it out for now; it is never ignored silently.".to_owned()),
        place: wish.origins.nearest(&at, &field),
    };
    fields.into_iter().map(refusal).collect()
}

/// What is protected is neither destroyed nor made anew.
fn protection(observed: &Observed, change: &Change) -> Option<Refusal> {
    if !matches!(change.action, Action::Destroy | Action::Recreate) {
        return None;
    }
    let seen = observed.sandboxes.get(change.address.sandbox()?)?;
    seen.row.protect.then(|| Refusal {
        address: Some(change.address.clone()),
        code: "msb::protect::refused",
        text: format!("{}: protected", change.action.as_str()),
        hint: Some(
            "Write lifecycle { protect #false }, run `msb up`, then change it in a second run."
                .to_owned(),
        ),
        place: change.place.clone(),
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
        code: "msb::plan::mass-delete",
        text: format!("{destroyed} of {all} sandboxes would be destroyed"),
        hint: Some("Say `--allow-mass-delete` if that is meant, or `msb down`.".to_owned()),
        place: None,
    })
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
    )
}

/// Returns the address as people write it, for a message.
#[must_use]
pub fn subject(address: Option<&Address>) -> String {
    address.map_or_else(String::new, |address| format!("{}: ", address.name()))
}
