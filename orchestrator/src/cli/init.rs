//! Write a first Sandboxfile

use std::fs;
use std::path::{Path, PathBuf};

use schema::name::{ProjectName, to_name};
use schema::project::ImageRef;
use schema::sandboxfile::describe::YAML_HEAD;
use serde_json::json;

use super::call::Call;
use super::convert::Syntax;
use super::ending::Ending;
use super::failure::Failure;
use super::globals::ProjectShorts;
use super::reading;
use crate::sources;
use crate::store::atomic;

/// Write a first Sandboxfile
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// Its folder, made if absent [default: the working folder]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The format to write [default: kdl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Syntax>,
    /// The image of its sandbox [default: alpine:3.20]
    #[arg(long, value_name = "REF")]
    image: Option<String>,
    /// The name of the project [default: the name of the folder]
    #[arg(long, value_name = "NAME")]
    name: Option<ProjectName>,
    /// Replace a file of the same name [default: refuse]
    #[arg(long)]
    force: bool,
}

/// The image of a sandbox that nobody chose one for.
const IMAGE: &str = "alpine:3.20";
/// The name of the one sandbox.
const SANDBOX: &str = "app";

const KDL: &str = include_str!("init/Sandboxfile");
const YAML: &str = include_str!("init/Sandboxfile.yaml");

/// Writes the file, and says what comes next.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    reading::refuse_files(call, "Name the folder instead: `msb init DIR`.")?;
    let shown = args.folder.clone().unwrap_or_default();
    let folder = call.context.absolute(&shown);
    let syntax = args.format.unwrap_or(Syntax::Kdl);
    let file = match syntax {
        Syntax::Kdl => "Sandboxfile",
        Syntax::Yaml => "Sandboxfile.yaml",
    };
    let project = project(args, call, &folder)?;
    let image = args.image.as_deref().unwrap_or(IMAGE);
    ImageRef::parse(image).map_err(|error| {
        Failure::usage("usage::value", format!("--image: `{image}` is no image"))
            .cause(error.to_string())
    })?;
    let path = shown.join(file);
    check_free(args, &folder, &path)?;
    fs::create_dir_all(&folder).map_err(|error| reading::cannot_write(&shown, &error))?;
    let text = text(syntax, &project, image);
    atomic::write_owned(&folder.join(file), text.as_bytes())
        .map_err(|error| reading::cannot_write(&path, &error))?;
    if call.report.is_text() {
        let path = path.display();
        call.report
            .line(&format!("created {path}: project {project}, sandbox {SANDBOX}; next: msb up"));
    } else {
        call.report.document(&json!({
            "path": path, "format": syntax.as_str(), "project": project, "sandbox": SANDBOX,
        }));
    }
    Ok(0)
}

/// Returns the name that was given, else the one that the folder gives.
fn project(args: &Args, call: &Call, folder: &Path) -> Result<ProjectName, Failure> {
    let named = args.name.clone().or_else(|| call.settings.project.clone());
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let of_folder = || {
        let name = to_name(whole.file_name()?.to_str()?)?;
        ProjectName::parse(&name).ok()
    };
    named.or_else(of_folder).filter(|name| name.as_str() != ProjectName::ADHOC).ok_or_else(|| {
        let message = format!("the folder {} gives the project no name", whole.display());
        Failure::usage("usage::value", message).hint("Give one with `--name`; `adhoc` is reserved.")
    })
}

/// Refuses a folder that has a Sandboxfile; one of the same name may be replaced.
fn check_free(args: &Args, folder: &Path, path: &Path) -> Result<(), Failure> {
    let there = sources::all_in_folder(folder);
    let stranger = there.iter().find(|found| found.file_name() != path.file_name());
    match (stranger, there.is_empty()) {
        (Some(other), _) => {
            let message = format!("{} exists already", other.display());
            Err(Failure::new("consent::needed", "consent", message)
                .note(format!("{} beside it would be one too many", path.display()))
                .hint("Delete or rename it first, or give its `--format` and `--force`."))
        }
        (None, false) if !args.force => {
            let message = format!("{} exists already", path.display());
            Err(Failure::new("consent::needed", "consent", message)
                .hint("Replace it with `--force`, or name another folder."))
        }
        (None, _) => Ok(()),
    }
}

fn text(syntax: Syntax, project: &ProjectName, image: &str) -> String {
    let (head, text) = match syntax {
        Syntax::Kdl => ("", KDL),
        Syntax::Yaml => (YAML_HEAD, YAML),
    };
    format!("{head}{}", text.replace("PROJECT", project.as_str()).replace("IMAGE", image))
}

#[cfg(test)]
mod tests {
    use schema::sandboxfile::document::Group;
    use schema::sandboxfile::limits::Limits;
    use schema::sandboxfile::source::Format;

    use super::*;

    fn written(syntax: Syntax) -> String {
        text(syntax, &ProjectName::parse("shop").unwrap(), IMAGE)
    }

    /// Returns the YAML with its examples switched on.
    fn switched_on(text: &str) -> String {
        let keys = ["secrets: ", "env: ", "mounts: ", "ports: "];
        let lines = text.lines().map(|line| match line.split_once("# ") {
            Some((indent, example)) if keys.iter().any(|key| example.starts_with(key)) => {
                format!("{indent}{example}\n")
            }
            Some(_) | None => format!("{line}\n"),
        });
        lines.collect()
    }

    #[test]
    fn both_formats_say_the_same_with_their_examples_and_without() {
        let (kdl, yaml) = (written(Syntax::Kdl), written(Syntax::Yaml));
        let read = |text: &str, format| Group::read(text, format, &Limits::default()).map(|_| ());
        read(&kdl, Format::Kdl).unwrap();
        read(&yaml, Format::Yaml).unwrap();
        assert!(yaml.starts_with("# yaml-language-server: $schema=https://"));
        let (kdl, yaml) = (kdl.replace("/-", ""), switched_on(&yaml));
        let limits = Limits::default();
        let one =
            Group::read(&kdl, Format::Kdl, &limits).unwrap_or_else(|p| panic!("{p:?}\n{kdl}"));
        let other =
            Group::read(&yaml, Format::Yaml, &limits).unwrap_or_else(|p| panic!("{p:?}\n{yaml}"));
        assert!(one.says_the_same(&other), "{kdl}\n{yaml}");
        let mentions: Vec<&str> = one.items.iter().map(|item| item.key.name).collect();
        assert_eq!(mentions, ["project", "secret", "sandbox"]);
    }

    #[test]
    fn what_is_written_is_laid_out() {
        let kdl = written(Syntax::Kdl);
        assert_eq!(crate::edit::format(&kdl).unwrap(), kdl);
    }
}
