//! Files, folder and environment → a Project, or all problems at once.

mod decode;
mod mounts;
mod order;
mod outcome;
mod process;
mod project;
mod ready;
mod sandbox;
mod templates;
mod variables;
mod volumes;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use outcome::{Failed, Resolved};

use self::decode::Decoder;
use super::document::Group;
use super::limits::Limits;
use super::merge::merge;
use super::problem::{Code, Problem, Problems};
use super::shape::shape;
use super::source::{Format, SourceFile, Sources, check_text};
use super::syntax::{build, yaml};
use super::tree::Span;
use crate::name::ProjectName;
use crate::project::InputFile;

/// What a reading needs besides the files; nothing else of the host enters it.
#[derive(Clone, Debug, Default)]
pub struct ResolveInputs {
    /// The folder of the first file, absolute and canonical.
    pub folder: PathBuf,
    /// The canonical folder of each file, in the order of the files; the project's where absent.
    pub folders: Vec<PathBuf>,
    /// The name that stands in for the project's own: `-p NAME`.
    pub name: Option<ProjectName>,
    /// The user's home, for `~/`.
    pub home: PathBuf,
    /// What the command line says of variables.
    pub vars: BTreeMap<String, String>,
    /// The host variables that `from-env` of a variable may name; no other is looked at.
    pub environment: BTreeMap<String, String>,
    /// What the reading may cost.
    pub limits: Limits,
}

/// Resolves files, which are layers from left to right.
///
/// # Errors
/// All problems of the stages that could run, in order, with the files' text beside them.
pub fn resolve(files: &[SourceFile], inputs: &ResolveInputs) -> Result<Resolved, Box<Failed>> {
    let mut problems = Problems::new(inputs.limits.problems);
    let (sources, read) = read_all(files, inputs, &mut problems);
    let input_files: Vec<InputFile> = files
        .iter()
        .map(|file| InputFile {
            path: file.path.clone(),
            blake3: blake3::hash(&file.bytes).to_hex().to_string(),
        })
        .collect();
    if problems.has_errors() {
        return Err(Failed::boxed(problems, sources));
    }
    let (project, origins) = {
        let mut groups = Vec::with_capacity(files.len());
        for (number, file) in files.iter().enumerate().filter(|(number, _)| read[*number]) {
            groups.extend(document(&sources, number, file.format, inputs, &mut problems));
        }
        // After an error of syntax, what a file defines is unknown.
        if groups.len() < files.len() {
            return Err(Failed::boxed(problems, sources));
        }
        let layers = groups.into_iter().reduce(|lower, upper| merge(lower, upper, ""));
        let mut decoder = Decoder::new(&sources, files, inputs, &mut problems);
        let project = decoder.project(layers.unwrap_or_default());
        (project, decoder.into_origins())
    };
    match project {
        Some(project) if !problems.has_errors() => {
            let (warnings, _) = problems.into_sorted();
            Ok(Resolved { project, origins, files: input_files, warnings, sources })
        }
        _ => Err(Failed::boxed(problems, sources)),
    }
}

/// Stage one: bytes to text, all files under one limit.
fn read_all(
    files: &[SourceFile],
    inputs: &ResolveInputs,
    problems: &mut Problems,
) -> (Sources, Vec<bool>) {
    let limits = &inputs.limits;
    let mut sources = Sources::default();
    let mut read = Vec::with_capacity(files.len());
    let mut total = 0_usize;
    for file in files {
        let number = u16::try_from(sources.files().len()).unwrap_or(u16::MAX);
        let name = file.path.display().to_string();
        let start = Span { file: number, start: 0, end: 0 };
        total = total.saturating_add(file.bytes.len());
        if usize::from(number) >= limits.files || total > limits.total_bytes {
            problems.push(too_many(start, usize::from(number) >= limits.files, limits));
            sources.add(name, String::new());
            read.push(false);
            continue;
        }
        match check_text(&file.bytes, file.format, number, limits) {
            Ok(text) => {
                sources.add(name, text);
                read.push(true);
            }
            Err(failed) => {
                let (text, problem) = *failed;
                sources.add(name, text);
                problems.push(problem);
                read.push(false);
            }
        }
    }
    (sources, read)
}

fn too_many(at: Span, files: bool, limits: &Limits) -> Problem {
    let (code, message, key) = if files {
        (Code::LIMIT_FILES, format!("more than {} files", limits.files), "files")
    } else {
        let message = format!("the files have more than {} bytes together", limits.total_bytes);
        (Code::LIMIT_TOTAL_BYTES, message, "total-bytes")
    };
    Problem::error(code, message, at).help(format!("raise limits {{ {key} }} in config.kdl"))
}

/// Stages two and three: text to a document.
fn document<'s>(
    sources: &'s Sources,
    number: usize,
    format: Format,
    inputs: &ResolveInputs,
    problems: &mut Problems,
) -> Option<Group<'s>> {
    let text = sources.files()[number].text.as_str();
    let file = u16::try_from(number).unwrap_or(u16::MAX);
    let tree = match format {
        Format::Kdl => build::kdl(text, file, &inputs.limits, problems),
        Format::Yaml => yaml::yaml(text, file, &inputs.limits, problems),
    }?;
    Some(shape(tree, format == Format::Yaml, problems))
}

#[cfg(test)]
mod layers_tests;
#[cfg(test)]
mod tests;
