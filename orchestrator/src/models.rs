//! What large files were read as, kept until anything moves that they were read from.
//!
//! A reading is a function of the files' bytes and of its inputs, and looks at nothing else; so
//! what it gave before it gives again. A model is one file below the home's `cache`, named by a
//! digest over all of that and over this program. It is never needed: whatever is wrong with it,
//! the files are read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use schema::name::InstanceName;
use schema::project::{Body, InputFile, Project, Sandbox};
use schema::sandboxfile::resolve::{
    ResolveInputs, Resolved, ToldVariable, Tracing, VariableSource,
};
use schema::sandboxfile::source::SourceFile;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::store::atomic;

/// How much text is worth a model; less of it is read in the time that a model would take.
const TEXT_BYTES_MIN: usize = 64 << 10;

/// How many models are kept, and how much they may take.
const MODELS_MAX: usize = 64;
const MODELS_BYTES_MAX: u64 = 256 << 20;

/// How long a digest is, in bytes.
const DIGEST: usize = blake3::OUT_LEN;

/// Where the model of one reading lies.
#[derive(Clone, Debug)]
pub struct Model {
    home: PathBuf,
    name: String,
    /// What a project that declares variables was read with.
    environment: [u8; DIGEST],
}

/// A model as it is written, a digest of the rest before it.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The host's variables, where the project declares any.
    environment: Option<[u8; DIGEST]>,
    /// The project, its sandboxes left out.
    project: Project,
    bodies: Vec<KeptBody>,
    sandboxes: Vec<(InstanceName, u32)>,
    files: Vec<InputFile>,
    variables: Vec<(String, Option<VariableSource>, bool)>,
}

impl Model {
    /// Returns where the model of a reading lies; none of one that is as fast without.
    #[must_use]
    pub fn of(home: &Path, files: &[SourceFile], inputs: &ResolveInputs) -> Option<Self> {
        let text: usize = files.iter().map(|file| file.bytes.len()).sum();
        if text < TEXT_BYTES_MIN || inputs.tracing != Tracing::Off {
            return None;
        }
        let ResolveInputs { folder, folders, name, home: of_user, vars, .. } = inputs;
        let ResolveInputs { environment, profiles, named, trust, limits, .. } = inputs;
        let mut hasher = blake3::Hasher::new();
        let said = (folder, folders, name, of_user, vars, profiles, named, trust, limits);
        add(&mut hasher, format!("{said:?}").as_bytes());
        add(&mut hasher, program()?.as_bytes());
        for file in files {
            add(&mut hasher, format!("{:?} {:?}", file.path, file.format).as_bytes());
            add(&mut hasher, &file.bytes);
        }
        let name = hasher.finalize().to_hex().to_string();
        let environment = *blake3::hash(format!("{environment:?}").as_bytes()).as_bytes();
        Some(Self { home: home.to_owned(), name, environment })
    }

    /// Returns what the reading gave, without its places; nothing where that is not known.
    #[must_use]
    pub fn recall(&self) -> Option<Resolved> {
        let bytes = fs::read(self.folder().join(&self.name)).ok()?;
        let (digest, rest) = bytes.split_at_checked(DIGEST)?;
        if blake3::hash(rest).as_bytes() != digest {
            return None;
        }
        let kept: Kept = postcard::from_bytes(rest).ok()?;
        if kept.environment.is_some_and(|of_then| of_then != self.environment) {
            return None;
        }
        kept.resolved()
    }

    /// Keeps what the reading gave, where that is the whole of it and a home is there.
    pub fn keep(&self, resolved: &Resolved, given: usize) {
        // What is said of a reading is said again, and included files are found again.
        if !resolved.warnings.is_empty() || resolved.files.len() != given {
            return;
        }
        if let Err(error) = self.write(resolved) {
            tracing::debug!(%error, "a model is not kept");
        }
    }

    fn write(&self, resolved: &Resolved) -> std::io::Result<()> {
        if !crate::store::path(&self.home).exists() {
            return Ok(());
        }
        let folder = self.folder();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let kept = Kept::of(resolved, self.environment);
        let rest = postcard::to_extend(&kept, Vec::new());
        let rest = rest.map_err(std::io::Error::other)?;
        let mut bytes = blake3::hash(&rest).as_bytes().to_vec();
        bytes.extend_from_slice(&rest);
        atomic::write_lazily(&folder.join(&self.name), &bytes)?;
        make_room(&folder)
    }

    fn folder(&self) -> PathBuf {
        self.home.join("cache/models")
    }
}

/// A body with its digest, read to the place where it stays.
struct KeptBody(Body);

impl Serialize for KeptBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sandbox: &Sandbox = &self.0;
        (self.0.digest(), sandbox).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeptBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (digest, sandbox) = Deserialize::deserialize(deserializer)?;
        Ok(Self(Body::stored(sandbox, digest)))
    }
}

impl Kept {
    fn of(resolved: &Resolved, environment: [u8; DIGEST]) -> Self {
        let project = &resolved.project;
        let (mut bodies, mut sandboxes): (Vec<KeptBody>, _) = (Vec::new(), Vec::new());
        let mut last: Option<&Body> = None;
        for (name, body) in &project.sandboxes {
            // Instances of one definition share it, and stand side by side.
            if !last.is_some_and(|last| last.is_shared_with(body)) {
                bodies.push(KeptBody(body.clone()));
                last = Some(body);
            }
            let at = u32::try_from(bodies.len() - 1).unwrap_or(u32::MAX);
            sandboxes.push((name.clone(), at));
        }
        let variables = &resolved.variables;
        Self {
            environment: (!variables.is_empty()).then_some(environment),
            project: Project {
                name: project.name.clone(),
                folder: project.folder.clone(),
                labels: project.labels.clone(),
                sandboxes: BTreeMap::new(),
                definitions: project.definitions.clone(),
                volumes: project.volumes.clone(),
                secrets: project.secrets.clone(),
                wait_timeout: project.wait_timeout,
                driver: project.driver,
                protect_config: project.protect_config,
            },
            bodies,
            sandboxes,
            files: resolved.files.clone(),
            variables: variables.iter().map(|v| (v.name.clone(), v.source, v.secret)).collect(),
        }
    }

    fn resolved(self) -> Option<Resolved> {
        let bodies = self.bodies;
        let sandboxes = self.sandboxes.into_iter();
        let body = |at: u32| Some(bodies.get(at as usize)?.0.clone());
        let sandboxes = sandboxes.map(|(name, at)| Some((name, body(at)?)));
        let told = |(name, source, secret)| ToldVariable { name, value: None, source, secret };
        Some(Resolved {
            project: Project { sandboxes: sandboxes.collect::<Option<_>>()?, ..self.project },
            origins: Default::default(),
            files: self.files,
            variables: self.variables.into_iter().map(told).collect(),
            host_variables: Default::default(),
            trace: None,
            warnings: Vec::new(),
            sources: Default::default(),
        })
    }
}

/// Adds what is told apart from what comes next.
fn add(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// Tells this program from any other that reads files.
fn program() -> Option<String> {
    let file = fs::metadata("/proc/self/exe").ok()?;
    let (device, inode, length) = (file.dev(), file.ino(), file.len());
    Some(format!("{device} {inode} {length} {}.{}", file.mtime(), file.mtime_nsec()))
}

/// Removes the oldest models that are too many or too much.
fn make_room(folder: &Path) -> std::io::Result<()> {
    let mut models: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        models.push((about.modified()?, about.len(), entry.path()));
    }
    models.sort_by(|one, other| other.cmp(one));
    let mut bytes = 0;
    for (at, (_, length, path)) in models.into_iter().enumerate() {
        bytes += length;
        if at >= MODELS_MAX || bytes > MODELS_BYTES_MAX {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
