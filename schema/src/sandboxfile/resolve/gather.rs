//! Stage one: bytes to text, the included files among them, all under one limit.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::ResolveInputs;
use crate::project::InputFile;
use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::problem::{Code, Problem, Problems, shown};
use crate::sandboxfile::source::{Format, SourceFile, Sources, check_text};
use crate::sandboxfile::syntax::{build, yaml};
use crate::sandboxfile::tree::{Entry, Span, Tree};

/// Opens the files that others include.
pub trait Includes {
    /// Opens the file that `path`, as a file in `folder` writes it, means.
    ///
    /// # Errors
    /// It is not there, lies where it may not, or cannot be read.
    fn open(&mut self, folder: &Path, path: &str) -> Result<Included, Refused>;
}

/// A file that another one includes.
#[derive(Clone, Debug)]
pub struct Included {
    /// Its bytes, and what it is called in messages.
    pub file: SourceFile,
    /// Its canonical folder.
    pub folder: PathBuf,
    /// Its canonical path, which tells it from others.
    pub identity: PathBuf,
}

/// Why a file is not included.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The kind of problem.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: String,
}

/// Opens nothing: for readings that have no folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn open(&mut self, _: &Path, path: &str) -> Result<Included, Refused> {
        let message = format!("`{}` is not looked for here", shown(path));
        let help = "name every file with -f".to_owned();
        Err(Refused { code: Code::FILE_OUTSIDE, message, help })
    }
}

/// One file as it was read.
#[derive(Debug)]
pub(super) struct ReadFile {
    path: PathBuf,
    blake3: String,
    /// Which reader it is given to.
    pub(super) format: Format,
    /// Where its relative paths start.
    pub(super) folder: PathBuf,
    /// The files that it includes, by the path that it writes.
    pub(super) includes: HashMap<String, usize>,
}

impl ReadFile {
    fn new(file: &SourceFile, folder: PathBuf) -> Self {
        Self {
            path: file.path.clone(),
            blake3: blake3::hash(&file.bytes).to_hex().to_string(),
            format: file.format,
            folder,
            includes: HashMap::new(),
        }
    }

    /// Returns the file as a project remembers it.
    pub(super) fn input(&self) -> InputFile {
        InputFile { path: self.path.clone(), blake3: self.blake3.clone() }
    }
}

/// Everything that was read.
pub(super) struct Gathered {
    pub(super) sources: Sources,
    pub(super) read: Vec<ReadFile>,
}

/// Levels of includes.
const INCLUDES_DEEP_MAX: usize = 8;

/// Reads the files, and nothing that they include.
pub(super) fn gather_only(
    files: &[SourceFile],
    inputs: &ResolveInputs,
    problems: &mut Problems,
) -> Gathered {
    Gathering::of(files, inputs, problems).gathered
}

/// Reads the files, then what they include.
pub(super) fn gather(
    files: &[SourceFile],
    inputs: &ResolveInputs,
    includes: &mut dyn Includes,
    problems: &mut Problems,
) -> Gathered {
    let mut gathering = Gathering::of(files, inputs, problems);
    let mut next = 0;
    while next < gathering.gathered.read.len() {
        gathering.follow(next, includes);
        next += 1;
    }
    gathering.gathered
}

/// The files on the way to one, each with where it includes the next.
#[derive(Clone, Default)]
struct Chain(Vec<(usize, Span)>);

struct Gathering<'p> {
    gathered: Gathered,
    limits: Limits,
    total: usize,
    known: HashMap<PathBuf, usize>,
    /// The first way to each file.
    chains: Vec<Chain>,
    problems: &'p mut Problems,
}

impl<'p> Gathering<'p> {
    fn of(files: &[SourceFile], inputs: &ResolveInputs, problems: &'p mut Problems) -> Self {
        let gathered = Gathered { sources: Sources::default(), read: Vec::new() };
        let limits = inputs.limits;
        let (known, chains) = (HashMap::new(), Vec::new());
        let mut gathering = Self { gathered, limits, total: 0, known, chains, problems };
        for (number, file) in files.iter().enumerate() {
            let folder = inputs.folders.get(number).unwrap_or(&inputs.folder).clone();
            gathering.add(file, folder, Chain::default());
        }
        gathering
    }

    /// Adds a file and returns its number.
    fn add(&mut self, file: &SourceFile, folder: PathBuf, chain: Chain) -> usize {
        let number = self.gathered.read.len();
        let name = file.path.display().to_string();
        let span = Span { file: u16::try_from(number).unwrap_or(u16::MAX), start: 0, end: 0 };
        self.total = self.total.saturating_add(file.bytes.len());
        self.gathered.read.push(ReadFile::new(file, folder));
        self.chains.push(chain);
        let text = if number >= self.limits.files || self.total > self.limits.total_bytes {
            let files = number >= self.limits.files;
            self.problems.push(too_many(span, files, &self.limits));
            String::new()
        } else {
            match check_text(&file.bytes, file.format, span.file, &self.limits) {
                Ok(text) => text,
                Err(failed) => {
                    let (text, problem) = *failed;
                    self.problems.push(problem);
                    text
                }
            }
        };
        self.gathered.sources.add(name, text);
        number
    }

    /// Reads what one file includes.
    fn follow(&mut self, number: usize, includes: &mut dyn Includes) {
        if !self.gathered.sources.files()[number].text.contains("include") {
            return;
        }
        for (path, at) in self.written(number) {
            let folder = self.gathered.read[number].folder.clone();
            let included = match includes.open(&folder, &path) {
                Ok(included) => included,
                Err(Refused { code, message, help }) => {
                    self.problems.push(Problem::error(code, message, at).help(help));
                    continue;
                }
            };
            let target = match self.known.get(&included.identity) {
                Some(known) => *known,
                None => {
                    let mut chain = self.chains[number].clone();
                    chain.0.push((number, at));
                    if chain.0.len() > INCLUDES_DEEP_MAX {
                        let message = format!("includes stand more than {INCLUDES_DEEP_MAX} deep");
                        let problem = Problem::error(Code::SCHEMA_CONFLICT, message, at);
                        self.problems.push(problem.help("include fewer levels"));
                        continue;
                    }
                    let target = self.add(&included.file, included.folder, chain);
                    self.known.insert(included.identity, target);
                    target
                }
            };
            if let Some(cycle) = self.way_back(number, target, at) {
                self.problems.push(cycle);
                continue;
            }
            self.gathered.read[number].includes.insert(path, target);
        }
    }

    /// Returns the paths that a file includes, without judging anything else of it.
    fn written(&self, number: usize) -> Vec<(String, Span)> {
        let mut unheard = Problems::new(1);
        let text = self.gathered.sources.files()[number].text.as_str();
        let file = u16::try_from(number).unwrap_or(u16::MAX);
        let format = self.gathered.read[number].format;
        let tree = parse(text, file, format, &self.limits, &mut unheard);
        let entries = tree.map_or_else(Vec::new, |tree| tree.entries);
        let path = |entry: &Entry<'_>| {
            let item = entry.items.first()?;
            Some((item.text.to_string(), item.span))
        };
        match format {
            Format::Kdl => {
                entries.iter().filter(|entry| entry.key == "include").filter_map(path).collect()
            }
            Format::Yaml => {
                let all = entries.iter().filter(|entry| entry.key == "includes");
                let each = all.flat_map(|entry| &entry.fields);
                each.map(|field| (field.key.to_string(), field.key_span)).collect()
            }
        }
    }

    /// Tells of a file that includes itself, over however many others.
    fn way_back(&self, from: usize, target: usize, at: Span) -> Option<Problem> {
        let chain = &self.chains[from].0;
        let start = chain.iter().position(|(on, _)| *on == target);
        if start.is_none() && from != target {
            return None;
        }
        let mut edges: Vec<(usize, Span)> = chain[start.unwrap_or(chain.len())..].to_vec();
        edges.push((from, at));
        let name = |number: usize| shown(&self.gathered.sources.files()[number].name);
        let words: Vec<String> =
            edges.iter().map(|(on, _)| name(*on)).chain([name(target)]).collect();
        let message = format!("these files include one another: {}", words.join(" → "));
        let label = |step: usize| format!("{} includes {}", words[step], words[step + 1]);
        let problem = Problem::error(Code::REF_CYCLE, message, edges[0].1).label(label(0));
        let problem = (1..edges.len())
            .fold(problem, |problem, step| problem.related(edges[step].1, label(step)));
        Some(problem.help("remove one include"))
    }
}

/// Stage two: text to a tree.
pub(super) fn parse<'s>(
    text: &'s str,
    file: u16,
    format: Format,
    limits: &Limits,
    problems: &mut Problems,
) -> Option<Tree<'s>> {
    match format {
        Format::Kdl => build::kdl(text, file, limits, problems),
        Format::Yaml => yaml::yaml(text, file, limits, problems),
    }
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
