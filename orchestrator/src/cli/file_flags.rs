//! The flags of every command that reads a Sandboxfile, and what they make of a reading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use schema::name::InstanceName;
use schema::project::InputFile;
use schema::sandboxfile::resolve::{Late, ResolveInputs, Tracing, Trust};

use super::call::Call;
use super::failure::Failure;
use super::values;
use crate::context::Clock as _;
use crate::sources::{self, Files, lines};

/// See the module.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "File flags")]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
pub(crate) struct FileFlags {
    /// A value of a variable of the file (can be repeated)
    #[arg(long, value_name = "NAME=VALUE", value_parser = assigned)]
    var: Vec<(String, String)>,
    /// A file of such lines; later ones win (can be repeated)
    #[arg(long, value_name = "PATH")]
    var_file: Vec<PathBuf>,
    /// A profile that takes part (can be repeated) [default: `$MSB_PROFILES`]
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// Refuse an image that the lock does not pin [default: off]
    #[arg(long)]
    pub(crate) locked: bool,
    /// Never use the network [default: off]
    #[arg(long)]
    pub(crate) offline: bool,
    /// Read the file as a stranger's: nothing outside its folder [default: off]
    #[arg(long)]
    pub(crate) untrusted: bool,
}

/// A reading that is about to be made, with what else it was made from.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What goes into it.
    pub(crate) inputs: ResolveInputs,
    /// The files of variables.
    pub(crate) variable_files: Vec<InputFile>,
}

fn assigned(text: &str) -> Result<(String, String), String> {
    match values::pair(text)? {
        (name, Some(value)) => Ok((name, value)),
        (name, None) => Err(format!("it has no value; write `{name}=VALUE`")),
    }
}

impl FileFlags {
    /// Returns whose files these are.
    pub(crate) const fn trust(&self) -> Trust {
        if self.untrusted { Trust::Untrusted } else { Trust::Trusted }
    }

    /// Returns the profiles that are active: those that are named, else the variable's.
    pub(crate) fn profiles(&self, call: &Call) -> BTreeSet<String> {
        if !self.profile.is_empty() {
            return self.profile.iter().cloned().collect();
        }
        let listed = call.context.environment.get("MSB_PROFILES").unwrap_or_default();
        listed
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Returns what a reading of `files` needs.
    ///
    /// # Errors
    /// A file of variables cannot be read.
    pub(crate) fn reading(
        &self,
        call: &Call,
        files: &Files,
        named: impl IntoIterator<Item = InstanceName>,
        tracing: Tracing,
    ) -> Result<Reading, Failure> {
        let environment = &call.context.environment;
        let limits = call.limits();
        let (mut vars, mut variable_files) = (BTreeMap::new(), Vec::new());
        for path in &self.var_file {
            let file = variables(call, path)?;
            vars.extend(file.values);
            variable_files.push(file.input);
        }
        vars.extend(self.var.iter().cloned());
        let clock = call.context.clock;
        let over = clock.elapsed() + Duration::from_secs(limits.seconds);
        let inputs = ResolveInputs {
            folder: files.folder.clone(),
            folders: files.folders.clone(),
            name: call.settings.project.clone(),
            home: PathBuf::from(environment.get("HOME").unwrap_or_default()),
            vars,
            environment: match self.trust() {
                Trust::Trusted => environment.as_map().clone(),
                Trust::Untrusted => BTreeMap::new(),
            },
            profiles: self.profiles(call),
            named: named.into_iter().collect(),
            trust: self.trust(),
            limits,
            tracing,
            late: Late::when(move || clock.elapsed() > over),
        };
        Ok(Reading { inputs, variable_files })
    }
}

/// A file of variables, as it was read.
struct VariableFile {
    values: BTreeMap<String, String>,
    input: InputFile,
}

fn variables(call: &Call, path: &std::path::Path) -> Result<VariableFile, Failure> {
    let bytes = sources::plain(&call.context, path, &call.limits())?;
    let name = |name: &str| match name.is_empty() {
        true => Err("it names no variable".to_owned()),
        false => Ok(()),
    };
    let pairs = lines::pairs(&bytes, name).map_err(|error| {
        Failure::new("file::lines", "file", format!("{}: {error}", path.display()))
            .hint("Write NAME=VALUE, one a line, without quotes.")
    })?;
    let values = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    Ok(VariableFile { values: values.collect(), input: InputFile { path: path.into(), blake3 } })
}
