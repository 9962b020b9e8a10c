//! What is exported would change nothing: read back and planned, it asks for what there is.

use schema::name::InstanceName;
use schema::project::{Origins, Project};

use super::state::Known;
use crate::cli::call::Call;
use crate::cli::failure::{Failure, Failures};
use crate::cli::project_text::{self, Form, Part};
use crate::plan::{Change, Inputs, Plan, Wish};

/// Reads the written text, plans it, and holds that nothing stands between it and the host but
/// what stands between the host and its own state: what rests, and what drifted.
///
/// # Errors
/// It would change something.
pub(super) fn changes_nothing(
    call: &Call,
    known: &Known,
    names: &[InstanceName],
    (text, form, written): (&str, Form<'_>, &Project),
) -> Result<(), Failures> {
    let mut project = project_text::read(call, written, text, (form.notation, Part::default()))?;
    project.folder.clone_from(&known.wish.project.folder);
    let (inputs, path) = (Inputs::default(), known.wish.path.clone());
    let mut wish = Wish::new(project, Origins::default(), inputs, path);
    wish.selection.names = names.iter().cloned().collect();
    wish.trust = known.wish.trust;
    let exported = call.engine.diff(&wish)?;
    let mut wish = known.wish.clone();
    wish.selection.names = names.iter().cloned().collect();
    wish.project.definitions.clone_from(&known.project.definitions);
    let own = call.engine.diff(&wish)?;
    match more(&exported, &own) {
        None => Ok(()),
        Some(change) => {
            let fields: Vec<&str> = change.fields.iter().map(|field| field.path.as_str()).collect();
            let what =
                format!("{} {} {}", change.action.as_str(), change.address, fields.join(" "));
            Err(Failure::internal("the exported file would change something")
                .cause(what.trim_end())
                .note("nothing was written")
                .into())
        }
    }
}

/// Returns a change that the exported file brings.
fn more<'p>(exported: &'p Plan, own: &Plan) -> Option<&'p Change> {
    let same = |a: &Change, b: &Change| {
        let paths = |change: &Change| -> Vec<String> {
            change.fields.iter().map(|field| field.path.clone()).collect()
        };
        a.address == b.address && a.action == b.action && a.class == b.class && paths(a) == paths(b)
    };
    exported.changes.iter().find(|change| !own.changes.iter().any(|known| same(change, known)))
}
