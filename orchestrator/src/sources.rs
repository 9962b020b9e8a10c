//! Which files a command reads: named, or found by climbing; each opened once and read once.
//!
//! Naming a file switches off both the search and local files. What is found
//! in a folder above must belong to the user or to root.

mod find;
mod include;
pub mod lines;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use schema::sandboxfile::image_lock;
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::source::{Format, SourceFile};

use crate::cli::failure::Failure;
use crate::context::Context;

/// What standard input is called.
pub const STDIN: &str = "<stdin>";

/// Suffixes that are read.
const SUFFIXES: &str = ".kdl, .example, no suffix, .yaml, .yml, .json";

pub use include::{Beneath, repository};

/// The files of one reading, lowest layer first.
#[derive(Debug, Clone)]
pub struct Files {
    /// Their bytes, and how they are called in messages.
    pub files: Vec<SourceFile>,
    /// The folder of the first.
    pub folder: PathBuf,
    /// The folder of each.
    pub folders: Vec<PathBuf>,
    /// The path of the first, absolute; the working folder for standard input.
    pub path: PathBuf,
    /// `Sandboxfile.kdl + Sandboxfile.local.kdl (local)`.
    pub shown: String,
    /// Where the lock of their images lies; standard input has none.
    pub lock: Option<PathBuf>,
}

/// Reads the files that `named` names, else those that are found.
///
/// # Errors
/// Nothing is found, too much is found, or a file cannot be read.
pub fn read(context: &Context, named: &[PathBuf], limits: &Limits) -> Result<Files, Failure> {
    let from_environment: Vec<PathBuf>;
    let named = match (named, context.environment.get("MSB_FILE")) {
        ([], Some(paths)) => {
            from_environment =
                paths.split(':').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
            &from_environment
        }
        (named, _) => named,
    };
    let chosen = if named.is_empty() { found(context)? } else { chosen(context, named)? };
    let mut files = Vec::with_capacity(chosen.len());
    let mut total = 0;
    for one in &chosen {
        let file = one.read(limits)?;
        total += file.bytes.len();
        if total > limits.total_bytes {
            let message = format!("the files have more than {} bytes in all", limits.total_bytes);
            return Err(Failure::new("limit::total-bytes", "file", message));
        }
        files.push(file);
    }
    let shown: Vec<String> = chosen.iter().map(Chosen::shown).collect();
    let first = chosen.first().map_or_else(|| context.folder.clone(), |one| one.path.clone());
    let folders: Vec<PathBuf> = chosen.iter().map(|one| one.folder(context)).collect();
    let folder = folders.first().cloned().unwrap_or_else(|| context.folder.clone());
    let is_named = chosen.first().is_some_and(|one| one.origin != Origin::Stdin);
    let lock = is_named.then(|| folder.join(image_lock::FILE_NAME));
    Ok(Files { files, folder, folders, path: first, shown: shown.join(" + "), lock })
}

/// Returns every Sandboxfile of one folder; more than one is a mistake.
#[must_use]
pub fn all_in_folder(folder: &Path) -> Vec<PathBuf> {
    find::all_in_folder(folder)
}

/// Why a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Stdin,
    Named,
    Found,
    Local,
}

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chosen {
    path: PathBuf,
    name: PathBuf,
    format: Format,
    origin: Origin,
}

impl Chosen {
    fn new(context: &Context, path: &Path, origin: Origin) -> Result<Self, Failure> {
        let absolute = context.absolute(path);
        let format = Format::of(path).ok_or_else(|| {
            Failure::new(
                "file::unknown-format",
                "file",
                format!("{}: unknown format", path.display()),
            )
            .hint(format!("Use one of these suffixes: {SUFFIXES}."))
        })?;
        let name = absolute.strip_prefix(&context.folder).unwrap_or(&absolute).to_path_buf();
        Ok(Self { path: absolute, name, format, origin })
    }

    /// Returns the folder that relative paths of the file start from.
    fn folder(&self, context: &Context) -> PathBuf {
        let folder = match self.origin {
            Origin::Stdin => context.folder.clone(),
            Origin::Named | Origin::Found | Origin::Local => {
                self.path.parent().unwrap_or_else(|| Path::new("/")).to_path_buf()
            }
        };
        folder.canonicalize().unwrap_or(folder)
    }

    fn shown(&self) -> String {
        let name = self.name.display();
        match self.origin {
            Origin::Local => format!("{name} (local)"),
            Origin::Stdin | Origin::Named | Origin::Found => name.to_string(),
        }
    }

    fn read(&self, limits: &Limits) -> Result<SourceFile, Failure> {
        let failed = |error: &io::Error| unreadable(&self.name, error);
        let mut bytes = Vec::new();
        let most = u64::try_from(limits.file_bytes).unwrap_or(u64::MAX).saturating_add(1);
        if self.origin == Origin::Stdin {
            io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        } else {
            let file = File::open(&self.path).map_err(|e| failed(&e))?;
            let kind = file.metadata().map_err(|e| failed(&e))?.file_type();
            let is_pipe = kind.is_fifo() && self.origin == Origin::Named;
            if !kind.is_file() && !is_pipe {
                let message = format!("{}: not a file", self.name.display());
                return Err(Failure::new("file::unreadable", "file", message)
                    .hint("Name a file, or a folder that holds a Sandboxfile, with -f."));
            }
            file.take(most).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        }
        Ok(SourceFile { path: self.name.clone(), bytes, format: self.format })
    }
}

/// Reads one file beside the Sandboxfiles, such as one of variables.
///
/// # Errors
/// It is no file, cannot be read, or is too large.
pub fn plain(context: &Context, path: &Path, limits: &Limits) -> Result<Vec<u8>, Failure> {
    let chosen = Chosen {
        path: context.absolute(path),
        name: path.to_path_buf(),
        format: Format::Kdl,
        origin: Origin::Found,
    };
    let file = chosen.read(limits)?;
    if file.bytes.len() > limits.file_bytes {
        let most = limits.file_bytes;
        let message = format!("{}: it has more than {most} bytes", path.display());
        return Err(Failure::new("limit::file-bytes", "file", message));
    }
    Ok(file.bytes)
}

fn unreadable(name: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::NotFound => "file::not-found",
        _ => "file::unreadable",
    };
    Failure::new(code, "file", format!("{}: cannot be read", name.display()))
        .cause(error.to_string())
        .hint("Check the path given with -f.")
}

/// The files that were named, in order.
fn chosen(context: &Context, named: &[PathBuf]) -> Result<Vec<Chosen>, Failure> {
    let mut files = Vec::with_capacity(named.len());
    for path in named {
        let stdin = match path.to_str() {
            Some("-" | "-.kdl") => Some(Format::Kdl),
            Some("-.yaml" | "-.yml" | "-.json") => Some(Format::Yaml),
            Some(_) | None => None,
        };
        if let Some(format) = stdin {
            if files.iter().any(|one: &Chosen| one.origin == Origin::Stdin) {
                let message = "standard input is named twice with -f";
                return Err(Failure::usage("usage::conflict", message));
            }
            let (path, name) = (context.folder.join("stdin"), PathBuf::from(STDIN));
            files.push(Chosen { path, name, format, origin: Origin::Stdin });
        } else if context.absolute(path).is_dir() {
            let folder = context.absolute(path);
            let inside = find::in_folder(&folder)?.ok_or_else(|| find::not_found(&[folder]))?;
            files.push(Chosen::new(context, &inside, Origin::Named)?);
        } else {
            files.push(Chosen::new(context, path, Origin::Named)?);
        }
    }
    Ok(files)
}

/// The file that is found by climbing, and its local layer.
fn found(context: &Context) -> Result<Vec<Chosen>, Failure> {
    let home = context.environment.get("HOME").map(Path::new);
    let path = find::climbing(&context.folder, home)?;
    let mut files = vec![Chosen::new(context, &path, Origin::Found)?];
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    if !context.is_ci()
        && let Some(local) = find::local(folder)?
    {
        files.push(Chosen::new(context, &local, Origin::Local)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_f5_a_name_that_says_nothing_is_refused_with_the_names_that_do() {
        let context = Context::read().unwrap();
        let failure = Chosen::new(&context, Path::new("a.toml"), Origin::Named).unwrap_err();
        assert_eq!(failure.report.code, "msb::file::unknown-format");
        assert_eq!(failure.exit_code(), 65);
        let example = Chosen::new(&context, Path::new("Sandboxfile.example"), Origin::Named);
        assert_eq!(example.unwrap().format, Format::Kdl);
    }

    #[test]
    fn sf_f4_a_folder_means_the_file_in_it() {
        let context = Context::read().unwrap();
        let folder = find::tests::scratch("named", &["Sandboxfile.yaml", "Sandboxfile.local.kdl"]);
        let files = chosen(&context, std::slice::from_ref(&folder)).unwrap();
        assert_eq!(files.len(), 1, "no local layer beside a named file");
        assert_eq!((files[0].format, files[0].origin), (Format::Yaml, Origin::Named));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
