//! Look whether images are still what they are called, and what they say of themselves

use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::image::{catalog, full, not_found, shape};
use super::load::short;
use crate::images::{Fault, ImageEntry, verify};

/// Look whether images are still what they are called
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The images [default: all]
    #[arg(value_name = "REF")]
    references: Vec<String>,
}

/// Show all that is known of images
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The images
    #[arg(value_name = "REF", required = true)]
    references: Vec<String>,
}

/// Reads every byte of the images; what is damaged is told, and set aside.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let images = found(&args.references, call)?;
    let home = call.engine.images_home();
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for image in &images {
        let name = short(&image.reference);
        let (status, faults) = match verify(&home, image) {
            Ok(faults) if faults.is_empty() => ("ok", faults),
            Ok(faults) => ("damaged", faults),
            Err(error) => {
                failures.push(
                    Failure::of("msb::image::store", "image", &error)
                        .note(format!("image: {name}"))
                        .hint("Look at the disk and the permissions of the home folder."),
                );
                ("unknown", Vec::new())
            }
        };
        if call.report.is_text() {
            call.report.line(&format!("{name}  {}  {status}", image.manifest_digest));
        }
        failures.extend((!faults.is_empty()).then(|| damaged(&name, &faults)));
        let told: Vec<Value> =
            faults.iter().map(|fault| json!({ "what": fault.what, "why": fault.why })).collect();
        rows.push(json!({
            "reference": name, "digest": image.manifest_digest, "status": status, "damaged": told,
        }));
    }
    if !call.report.is_text() {
        call.report.document(&rows);
    } else if images.is_empty() {
        call.report.note("no images");
    }
    if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) }
}

fn damaged(name: &str, faults: &[Fault]) -> Failure {
    let failure =
        Failure::new("image::damaged", "image", format!("{name} is damaged in the store"));
    let told = faults.iter().map(|fault| format!("{}: {}", fault.what, fault.why));
    let failure = told.fold(failure, Failure::cause);
    failure.hint(format!("Bring it again with `msb pull {name}`, or load its archive once more."))
}

/// Prints what is known of images, as a document.
pub(crate) fn inspect(args: &InspectArgs, call: &Call) -> Ending {
    let images = found(&args.references, call)?;
    let users = call.engine.image_users()?;
    let home = call.engine.images_home();
    let row = |image: &ImageEntry| {
        let mut row = shape(image, &users);
        let config = &image.config;
        row["config"] = json!({
            "env": config.env, "cmd": config.cmd, "entrypoint": config.entrypoint,
            "working_dir": config.workdir, "user": config.user, "labels": config.labels,
            "exposed_ports": config.exposed_ports, "stop_signal": config.stop_signal,
        });
        let layers = image.layers.iter().enumerate().map(|(position, layer)| {
            json!({
                "diff_id": layer.diff_id, "blob_digest": layer.blob,
                "media_type": layer.media_type, "compressed_bytes": layer.bytes,
                "position": position,
            })
        });
        row["layers"] = layers.collect();
        let root = home.root_path(&image.root_digest).metadata();
        row["root_bytes"] = root.map(|found| found.len()).ok().into();
        row
    };
    let rows: Vec<Value> = images.iter().map(row).collect();
    if call.report.is_text() {
        let text = serde_json::to_string_pretty(&rows).unwrap_or_default();
        call.report.line(&text);
    } else {
        call.report.document(&rows);
    }
    Ok(0)
}

/// Returns the images by their names, all or none; without a name every one.
pub(super) fn found(references: &[String], call: &Call) -> Result<Vec<ImageEntry>, Failures> {
    let store = match call.context.existing_home().map_err(Failure::from)? {
        None => None,
        Some(_) => call.engine.store_read_only()?,
    };
    let Some(mut store) = store else {
        let Some(first) = references.first() else { return Ok(Vec::new()) };
        return Err(not_found(&full(first)?).into());
    };
    if references.is_empty() {
        return Ok(store.catalog().list().map_err(|error| catalog(&error))?);
    }
    let (mut images, mut failures) = (Vec::<ImageEntry>::new(), Vec::new());
    for text in references {
        let name = full(text)?;
        match store.catalog().find(&name).map_err(|error| catalog(&error))? {
            None => failures.push(not_found(&name)),
            Some(image) if images.iter().any(|one| one.reference == image.reference) => {}
            Some(image) => images.push(image),
        }
    }
    if failures.is_empty() { Ok(images) } else { Err(Failures(failures)) }
}
