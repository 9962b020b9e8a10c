//! Write a Sandboxfile in the other format

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use schema::sandboxfile::describe::YAML_HEAD;
use schema::sandboxfile::document::Group;
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::print::{self, Order};
use schema::sandboxfile::source::{Format, SourceFile};
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::globals::ProjectShorts;
use super::reading;
use crate::edit::{self, Asides};
use crate::report::human;
use crate::sources;
use crate::store::atomic;

/// Write a Sandboxfile in the other format
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// The file; `-` is stdin as KDL, `-.yaml` as YAML
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// The format to write
    #[arg(long, value_name = "FORMAT")]
    to: Syntax,
    /// Where to write it, whole or not at all [default: stdout]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Replace PATH if it exists [default: refuse]
    #[arg(long, requires = "out")]
    force: bool,
}

/// `--to` and `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Syntax {
    /// KDL 2
    Kdl,
    /// YAML 1.2
    Yaml,
}

impl Syntax {
    /// Returns the word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Kdl => "kdl",
            Self::Yaml => "yaml",
        }
    }

    /// Returns the format.
    pub(crate) const fn format(self) -> Format {
        match self {
            Self::Kdl => Format::Kdl,
            Self::Yaml => Format::Yaml,
        }
    }
}

/// Writes what a file says in the other format; variables, templates and includes stay.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    reading::refuse_files(call, "Name the file instead: `msb convert FILE`.")?;
    let named = std::slice::from_ref(&args.path);
    let files = sources::read(&call.context, named, &call.limits())?;
    let file = files.files.into_iter().next();
    let file = file.ok_or_else(|| Failure::internal("a file that was named was not read"))?;
    check_places(args, call, &file)?;
    let text = reading::text(call, &file)?;
    let converted = convert(args.to, call, &file, &text)?;
    let lost = Asides::of(&text, file.format);
    if let Some(path) = &args.out {
        write(call, path, &converted)?;
    }
    let name = file.path.display();
    if call.report.is_text() {
        if args.out.is_none() {
            call.report.raw(converted.as_bytes());
        }
        call.report.note(&format!("{name}: {}", said(lost, args)));
    } else {
        let text = args.out.is_none().then_some(&converted);
        call.report.document(&json!({
            "path": args.out, "from": file.path, "format": args.to.as_str(), "text": text,
            "comments_lost": lost.comments, "slashdashes_lost": lost.hidden,
        }));
    }
    Ok(0)
}

/// Refuses what cannot be meant before anything is read into shapes.
fn check_places(args: &Args, call: &Call, file: &SourceFile) -> Result<(), Failure> {
    let name = file.path.display();
    if file.format == args.to.format() {
        let message = format!("{name} is {} already", args.to.as_str());
        return Err(Failure::usage("usage::conflict", message)
            .hint(format!("Lay it out with `msb fmt {name}`, or choose the other format.")));
    }
    let Some(path) = &args.out else { return Ok(()) };
    check_out(call, path, (args.to, args.force))
}

/// Refuses a place that would be read otherwise, or that somebody has.
///
/// # Errors
/// It is one.
pub(super) fn check_out(
    call: &Call,
    path: &Path,
    (to, force): (Syntax, bool),
) -> Result<(), Failure> {
    if Format::of(path) != Some(to.format()) {
        let message = format!("{} would not be read as {}", path.display(), to.as_str());
        return Err(Failure::usage("usage::conflict", message)
            .hint("Give it the suffix of its format: .kdl or none, .yaml or .yml."));
    }
    if call.context.absolute(path).exists() && !force {
        let message = format!("{} exists", path.display());
        return Err(Failure::new("consent::needed", "consent", message)
            .hint("Replace it with `--force`, or write to another path."));
    }
    Ok(())
}

/// Returns the text in the other format, proved to say the same.
fn convert(to: Syntax, call: &Call, file: &SourceFile, text: &str) -> Result<String, Failure> {
    let document = reading::document(call, file, text)?;
    if file.format == Format::Kdl {
        edit::check_cost(text).map_err(|error| reading::of_edit(call, file, text, error))?;
    }
    let converted = print::text(&document, to.format(), Order::Written)
        .map_err(|problem| reading::of_problems(call, file, text, vec![problem]))?;
    let head = if to == Syntax::Yaml { YAML_HEAD } else { "" };
    let converted = format!("{head}{converted}");
    let again = Group::read(&converted, to.format(), &Limits::again(&converted));
    if again.is_ok_and(|again| again.says_the_same(&document)) {
        Ok(converted)
    } else {
        let message = format!("{}: the copy would not say the same", file.path.display());
        Err(Failure::internal(message).note("nothing was written"))
    }
}

/// Writes a file, whole or not at all, and says where another would be read with it.
///
/// # Errors
/// The host does not take it.
pub(super) fn write(call: &Call, path: &Path, text: &str) -> Result<(), Failure> {
    let absolute = call.context.absolute(path);
    atomic::write_owned(&absolute, text.as_bytes())
        .map_err(|error| reading::cannot_write(path, &error))?;
    let folder = absolute.parent().unwrap_or_else(|| Path::new("/"));
    let beside = sources::all_in_folder(folder);
    if beside.len() > 1 && beside.contains(&absolute) {
        let names: Vec<_> = beside.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        let names = names.join(" and ");
        call.report.warn(&format!("{names} lie side by side; delete one, or name one with -f"));
    }
    Ok(())
}

/// Says what became of a file, and what of it is not in the copy.
fn said(lost: Asides, args: &Args) -> String {
    let comments = human::count(lost.comments, "comment");
    let hidden = match lost.hidden {
        0 => String::new(),
        1 => " and 1 slashdash".to_owned(),
        count => format!(" and {count} slashdashes"),
    };
    let place =
        args.out.as_ref().map_or_else(String::new, |path| format!(" in {}", path.display()));
    format!("written as {}{place}; {comments}{hidden} lost", args.to.as_str())
}
