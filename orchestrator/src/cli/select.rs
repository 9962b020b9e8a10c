//! From files to a wish: read, resolve, choose.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use schema::exit::Kind;
use schema::launch::DriverName;
use schema::name::{InstanceName, ProjectName};
use schema::project::{InputFile, Project};
use schema::sandboxfile::problem::{Code, Problem, Severity, listed, nearest};
use schema::sandboxfile::resolve::{
    self, Late, ResolveInputs, Resolved, Tracing, Trust, VariableSource, resolve_with,
};
use schema::sandboxfile::tree::Span;

use super::call::Call;
use super::failure::{Failure, Failures};
use super::file_flags::{FileFlags, Reading};
use super::globals::Driver;
use crate::edit;
use crate::models::Model;
use crate::pins::{Pins, PinsError};
use crate::plan::{Goal, Inputs, MayWiden, Places, Reach, Selection, Variable, Wish};
use crate::report::problems;
use crate::sources::{self, Beneath, Files};

/// Which part of a project a command is about.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
pub(crate) struct Choice {
    /// The sandboxes and jobs [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<InstanceName>,
    /// Leave this one out (can be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude: Vec<InstanceName>,
    /// Take only the chosen, not what they need [default: off]
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Make the chosen anew even if they are equal [default: off]
    #[arg(long)]
    pub(crate) recreate: bool,
    /// Refuse whatever opens access further than it is [default: show it]
    #[arg(long)]
    pub(crate) deny_widening: bool,
}

/// Returns what files ask for; what was read before and did not move is not read again.
///
/// # Errors
/// Every problem of the files.
pub(crate) fn project(call: &Call, files: &Files, flags: &FileFlags) -> Result<Project, Failure> {
    let reading = flags.reading(call, files, [], Tracing::Off)?;
    let model = Model::of(call.context.home(), &files.files, &reading.inputs);
    match model.and_then(|model| model.recall()) {
        Some(resolved) => Ok(resolved.project),
        None => Ok(read(call, files, &reading)?.project),
    }
}

/// Makes a reading that flags asked for.
///
/// # Errors
/// Every problem of the files.
pub(crate) fn read(call: &Call, files: &Files, reading: &Reading) -> Result<Resolved, Failure> {
    let inputs = &reading.inputs;
    let base = match inputs.trust {
        Trust::Trusted => sources::repository(&files.folder),
        Trust::Untrusted => files.folder.clone(),
    };
    let limits = &inputs.limits;
    let mut includes = Beneath { from: &call.context.folder, base, trust: inputs.trust, limits };
    resolve_with(&files.files, inputs, &mut includes).map_err(|mut failed| {
        edit::errors::add_all(&mut failed, &files.files, limits.problems);
        let failure = Failure::of_reading(&failed, &call.report.form);
        // What a flag says wrong is wrong usage, whatever the files are.
        let of_flag = |problem: &Problem| {
            problem.code == Code::VAR_UNDECLARED
                && problem.span() == (Span { file: 0, start: 0, end: 0 })
        };
        match failed.problems.iter().any(of_flag) {
            true => failure.kind(Kind::Usage),
            false => failure,
        }
    })
}

/// Returns the name of the project that files are of, whatever else is in them.
///
/// # Errors
/// The files cannot be read as far as that.
pub(crate) fn project_name(call: &Call, files: &Files) -> Result<ProjectName, Failure> {
    let reading = FileFlags::default().reading(call, files, [], Tracing::Off)?;
    resolve::project_name(&files.files, &reading.inputs).map_err(|mut failed| {
        edit::errors::add_all(&mut failed, &files.files, reading.inputs.limits.problems);
        Failure::of_reading(&failed, &call.report.form)
    })
}

/// Says what a reading found worth a word.
pub(crate) fn say_warnings(call: &Call, resolved: &Resolved) {
    Warnings::of(call, resolved).say(call);
}

/// What a reading found worth a word, ready to be said.
enum Warnings {
    Nothing,
    Page(String),
    Lines(Vec<String>),
}

impl Warnings {
    fn of(call: &Call, resolved: &Resolved) -> Self {
        let warned = resolved.warnings.iter().any(|problem| problem.severity != Severity::Note);
        match (warned, call.report.is_text()) {
            (false, _) => Self::Nothing,
            (true, true) => {
                let (form, sources) = (&call.report.form, &resolved.sources);
                Self::Page(problems::text(&resolved.warnings, sources, form))
            }
            (true, false) => {
                Self::Lines(resolved.warnings.iter().map(|w| w.message.clone()).collect())
            }
        }
    }

    fn say(&self, call: &Call) {
        match self {
            Self::Nothing => {}
            Self::Page(page) => call.report.err(page),
            Self::Lines(lines) => lines.iter().for_each(|line| call.report.warn(line)),
        }
    }
}

/// A project with its lock.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// The project.
    pub(crate) resolved: Resolved,
    /// What its images are pinned to.
    pub(crate) pins: Pins,
    /// The lock's file as it was read; `None` where there is none.
    pub(crate) input: Option<InputFile>,
    /// The first of the files.
    pub(crate) path: PathBuf,
    /// How many of its files are not included ones.
    pub(crate) given: usize,
    /// Where its values were written, where that is found by reading again.
    places: Option<Places>,
    variable_files: Vec<InputFile>,
    shown: String,
}

/// Reads a project and the lock beside it.
///
/// # Errors
/// A file is invalid, or an image has no pin where each must have one.
pub(crate) fn pinned(call: &Call, flags: &FileFlags) -> Result<Pinned, Failures> {
    pinned_for(call, flags, &[])
}

/// Reads a project of which some are named, and the lock beside it.
///
/// # Errors
/// A file is invalid, or an image has no pin where each must have one.
pub(crate) fn pinned_for(
    call: &Call,
    flags: &FileFlags,
    named: &[InstanceName],
) -> Result<Pinned, Failures> {
    pinned_from(call, flags, named, call.files()?)
}

/// Reads a project out of these files, and the lock beside them.
///
/// # Errors
/// A file is invalid, or an image has no pin where each must have one.
pub(crate) fn pinned_from(
    call: &Call,
    flags: &FileFlags,
    named: &[InstanceName],
    files: Files,
) -> Result<Pinned, Failures> {
    let reading = flags.reading(call, &files, named.iter().cloned(), Tracing::Off)?;
    let resolved = read(call, &files, &reading)?;
    beside_lock(call, flags, (files, reading), (resolved, None))
}

/// Reads a project of which some are named, and the lock beside it, to plan with.
fn pinned_to_plan(
    call: &Call,
    flags: &FileFlags,
    named: &[InstanceName],
) -> Result<Pinned, Failures> {
    pinned_as_before(call, flags, (named, Keeping::Kept), call.files()?)
}

/// Whether what a reading gave is kept for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// It is.
    Kept,
    /// It is not: the command writes nothing.
    Dropped,
}

/// Reads a project, and the lock beside it; what was read before and did not move is not read
/// again, and its places are found when somebody asks.
///
/// # Errors
/// A file is invalid, or an image has no pin where each must have one.
pub(crate) fn pinned_as_before(
    call: &Call,
    flags: &FileFlags,
    (named, keeping): (&[InstanceName], Keeping),
    files: Files,
) -> Result<Pinned, Failures> {
    let reading = flags.reading(call, &files, named.iter().cloned(), Tracing::Off)?;
    let model = Model::of(call.context.home(), &files.files, &reading.inputs);
    if let Some(resolved) = model.as_ref().and_then(Model::recall) {
        let places = places_of(call, &files, &reading);
        return beside_lock(call, flags, (files, reading), (resolved, Some(places)));
    }
    let resolved = read(call, &files, &reading)?;
    if let Some(model) = model.filter(|_| keeping == Keeping::Kept) {
        model.keep(&resolved, files.files.len());
    }
    beside_lock(call, flags, (files, reading), (resolved, None))
}

/// Returns where the values of a project that is not read now were written.
fn places_of(call: &Call, files: &Files, reading: &Reading) -> Places {
    let (files, inputs) = (files.files.clone(), reading.inputs.clone());
    let inputs = ResolveInputs { late: Late::default(), ..inputs };
    let folder = call.context.folder.clone();
    Places::later(move || {
        let ResolveInputs { trust, ref limits, .. } = inputs;
        let base = inputs.folder.clone();
        // One that has a model includes nothing.
        let mut includes = Beneath { from: &folder, base, trust, limits };
        let read = resolve_with(&files, &inputs, &mut includes);
        read.map(|read| read.origins).unwrap_or_default()
    })
}

/// Reads the lock beside files that were read.
fn beside_lock(
    call: &Call,
    flags: &FileFlags,
    (files, reading): (Files, Reading),
    (resolved, places): (Resolved, Option<Places>),
) -> Result<Pinned, Failures> {
    let (pins, input) = match files.lock {
        None => (Pins::default(), None),
        Some(lock) => {
            let shown = lock.strip_prefix(&call.context.folder).unwrap_or(&lock).to_path_buf();
            Pins::read(lock, &shown, &reading.inputs.limits).map_err(|error| match error {
                PinsError::Broken(failed) => Failure::of_reading(&failed, &call.report.form),
                PinsError::Read { .. } => Failure::of("msb::file::unreadable", "file", &error),
            })?
        }
    };
    let pins = Pins { offline: flags.offline, ..pins };
    if flags.locked {
        let missing = pins.missing(&resolved.project).into_iter().map(|(reference, platform)| {
            let (short, platform) = (reference.short(), platform.as_str());
            let message = format!("{short} for {platform}: the lock does not pin it");
            Failure::new("image-lock::missing", "file", message)
                .hint("Pin it with `msb lock`, and commit Sandboxfile.lock.")
        });
        let missing: Vec<Failure> = missing.collect();
        if !missing.is_empty() {
            return Err(Failures(missing));
        }
    }
    let (path, variable_files, given) = (files.path, reading.variable_files, files.files.len());
    let shown = files.shown;
    Ok(Pinned { resolved, pins, input, path, given, places, variable_files, shown })
}

/// Returns what the files and the choice ask for.
///
/// # Errors
/// A file is invalid, or a name is not in it.
pub(crate) fn wish(call: &Call, choice: &Choice, flags: &FileFlags) -> Result<Wish, Failures> {
    let read = pinned_to_plan(call, flags, &choice.names)?;
    wish_of(call, choice, flags, (read, Telling::All))
}

/// As [`wish`], without a word where the files are as they were.
///
/// # Errors
/// A file is invalid, or a name is not in it.
pub(crate) fn wish_again(
    call: &Call,
    choice: &Choice,
    flags: &FileFlags,
    before: &Wish,
) -> Result<Wish, Failures> {
    let read = pinned_to_plan(call, flags, &choice.names)?;
    wish_of(call, choice, flags, (read, Telling::Unless(&before.inputs)))
}

/// Returns what files that were read ask for, whole, without a word.
///
/// # Errors
/// There is none that could be.
pub(crate) fn wish_quietly(call: &Call, flags: &FileFlags, read: Pinned) -> Result<Wish, Failures> {
    wish_of(call, &Choice::default(), flags, (read, Telling::Nothing))
}

/// What is told of a reading.
enum Telling<'t> {
    /// Everything.
    All,
    /// Everything, unless it was made from these.
    Unless(&'t Inputs),
    /// Nothing.
    Nothing,
}

fn wish_of(
    call: &Call,
    choice: &Choice,
    flags: &FileFlags,
    (read, telling): (Pinned, Telling<'_>),
) -> Result<Wish, Failures> {
    let Pinned { resolved, pins, input, path, given: _, places, variable_files, shown } = read;
    let shown = format!("{}: {shown}", resolved.project.name);
    let warnings = Warnings::of(call, &resolved);
    for name in choice.names.iter().chain(&choice.exclude) {
        check_known(name, &resolved.project, &path)?;
    }
    let variables = resolved.variables.iter().map(|told| Variable {
        name: told.name.clone(),
        source: told.source.map_or("none", VariableSource::as_str),
        secret: told.secret,
    });
    let folder = &resolved.project.folder;
    let files = resolved.files.into_iter().chain(variable_files);
    let files = files.map(|file| beside(call, folder, file)).collect();
    let inputs = Inputs { files, lock: input, variables: variables.collect() };
    let is_told = match telling {
        Telling::All => false,
        Telling::Unless(told) => *told == inputs,
        Telling::Nothing => true,
    };
    if !is_told {
        call.report.note(&shown);
        warnings.say(call);
    }
    let places = places.unwrap_or_else(|| resolved.origins.into());
    let mut wish = Wish::new(resolved.project, places, inputs, path);
    wish.selection = Selection {
        names: choice.names.iter().cloned().collect(),
        exclude: choice.exclude.iter().cloned().collect(),
        reach: if choice.no_deps { Reach::Alone } else { Reach::Dependencies },
        recreate: choice.recreate,
        profiles: flags.profiles(call),
        widening: if choice.deny_widening { MayWiden::Never } else { MayWiden::Told },
        ..Selection::default()
    };
    check_exclusions(&wish)?;
    if !is_told {
        say_unknown_profiles(call, &wish);
    }
    wish.trust = flags.trust();
    wish.pins = pins;
    wish.driver = driver(call);
    wish.goal = Goal::Up;
    Ok(wish)
}

/// Returns a file by its path from the project's folder, in full where it lies elsewhere.
fn beside(call: &Call, folder: &Path, file: InputFile) -> InputFile {
    if file.path.starts_with("<stdin>") {
        return file;
    }
    let path = call.context.absolute(&file.path);
    let path = path.strip_prefix(folder).map(Path::to_path_buf).unwrap_or(path);
    InputFile { path, ..file }
}

/// Returns the driver that a flag forces.
pub(crate) fn driver(call: &Call) -> Option<DriverName> {
    match call.settings.driver {
        Driver::Auto => None,
        Driver::Krun => Some(DriverName::Krun),
        Driver::Qemu => Some(DriverName::Qemu),
        Driver::Process => Some(DriverName::Process),
    }
}

/// Refuses a name that the file does not have.
///
/// # Errors
/// It does not.
pub(crate) fn check_known(
    name: &InstanceName,
    project: &Project,
    path: &Path,
) -> Result<(), Failure> {
    if project.meant(name).next().is_some() {
        return Ok(());
    }
    let message = format!("{} has no sandbox or job `{name}`", path.display());
    let failure = Failure::new("sandbox::not-found", "resolve", message);
    let mut known: Vec<&str> = project.sandboxes.keys().map(|n| n.sandbox.as_str()).collect();
    known.dedup();
    Err(match nearest(name.sandbox.as_str(), known.iter().copied()) {
        Some(near) => failure.hint(format!("Name `{near}`, if that was meant.")),
        None => failure.note(format!("it has {}", listed(known))),
    })
}

/// Says which profiles nothing has.
fn say_unknown_profiles(call: &Call, wish: &Wish) {
    let known: BTreeSet<&str> = wish
        .project
        .definitions
        .values()
        .flat_map(|definition| definition.profiles.iter().map(String::as_str))
        .collect();
    for name in wish.selection.profiles.iter().filter(|name| !known.contains(name.as_str())) {
        let near = nearest(name, known.iter().copied());
        let meant = near.map_or_else(String::new, |near| format!("; `{near}` was probably meant"));
        call.report.warn(&format!("nothing has the profile `{name}`{meant}"));
    }
}

/// Refuses to leave out what a chosen sandbox cannot do without.
fn check_exclusions(wish: &Wish) -> Result<(), Failure> {
    for name in wish.selected() {
        let needs = wish.project.sandboxes.get(&name).into_iter().flat_map(|s| &s.depends_on);
        for (target, dependency) in needs {
            if wish.selection.exclude.contains(target) && !dependency.optional {
                let message = format!("{target} cannot be left out: {name} needs it");
                return Err(Failure::usage("usage::conflict", message)
                    .hint(format!("Leave {name} out too, with `--exclude {name}`.")));
            }
        }
    }
    Ok(())
}
