//! What every command is given: the context, the report, the flags, the engine.

use std::rc::Rc;
use std::time::Duration;

use schema::name::ProjectName;
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::source::{Format, SourceFile};

use super::ending;
use super::failure::Failure;
use super::globals::{Globals, Settings};
use crate::configuration::{self, Configuration};
use crate::context::Context;
use crate::engine::{Engine, TRASH_KEPT};
use crate::exporter::trace::Trace;
use crate::report::Report;
use crate::sources::{self, Files};

/// See the module.
#[derive(Debug)]
pub(crate) struct Call {
    /// What this process was started with.
    pub(crate) context: Context,
    /// The door to the terminal.
    pub(crate) report: Rc<Report>,
    /// The global flags.
    pub(crate) settings: Settings,
    /// What the installation wants where no flag and no variable speaks.
    pub(crate) configuration: Configuration,
    /// The host's sandboxes.
    pub(crate) engine: Engine,
    /// What is told of this command to whoever collects traces.
    pub(crate) trace: Option<Rc<Trace>>,
}

impl Call {
    /// Reads the context and the configuration and resolves the flags; takes no lock.
    ///
    /// # Errors
    /// A flag, a variable or the configuration is malformed, or the process cannot tell where it is.
    pub(crate) fn prepare(globals: &Globals) -> Result<Self, Failure> {
        let mut context = Context::read()?;
        if let Some(home) = &globals.home {
            context = context.with_home(home);
        }
        let configuration = configuration(globals, &context)?;
        if let Some(reserve) = configuration.disk_reserve {
            context.disk_reserve = reserve;
        }
        context.registries.clone_from(&configuration.registries);
        let report = Rc::new(Report::new(globals.form(&context, &configuration)?));
        let settings = globals.settings(&context, &configuration)?;
        for name in context.environment.unknown() {
            let known = crate::context::KNOWN_VARIABLES.iter().copied();
            let nearest = schema::sandboxfile::problem::nearest(name, known);
            let meant = nearest.map(|near| format!("; {near} was probably meant"));
            report.warn(&format!("the variable {name} means nothing{}", meant.unwrap_or_default()));
        }
        let level = settings.level.or(configuration.log_level).unwrap_or("warn");
        crate::report::log::start(level);
        let engine = Engine::new(context.clone());
        Ok(Self { context, report, settings, configuration, engine, trace: None })
    }

    /// Reads the Sandboxfiles of this command and says which ones they are.
    ///
    /// # Errors
    /// None is found, or one cannot be read.
    pub(crate) fn files(&self) -> Result<Files, Failure> {
        sources::read(&self.context, &self.settings.files, &self.limits())
    }

    /// Returns what a reading may cost.
    pub(crate) fn limits(&self) -> Limits {
        self.configuration.limits
    }

    /// Returns how long what was removed can be restored.
    pub(crate) fn trash_kept(&self) -> Duration {
        self.configuration.trash_keep.unwrap_or(TRASH_KEPT)
    }

    /// Returns the current project: named, else the file's, else what state knows of this folder, else `adhoc`.
    ///
    /// # Errors
    /// The file is invalid, or the state cannot be read.
    pub(crate) fn project(&self) -> Result<ProjectName, Failure> {
        Ok(self.known_project()?.unwrap_or_else(ProjectName::adhoc))
    }

    /// Returns the current project where something names it.
    ///
    /// # Errors
    /// The file is invalid, or the state cannot be read.
    pub(crate) fn known_project(&self) -> Result<Option<ProjectName>, Failure> {
        if let Some(name) = &self.settings.project {
            return Ok(Some(name.clone()));
        }
        match self.files() {
            Ok(files) => super::select::project_name(self, &files).map(Some),
            Err(failure) if failure.report.code == "msb::file::not-found" => {
                self.project_of_this_folder()
            }
            Err(failure) => Err(failure),
        }
    }

    /// Returns the current project for a command that acts on it: what the file of this folder
    /// names has to be what was brought up from this folder. A name that was given is meant.
    ///
    /// # Errors
    /// As [`Call::known_project`]; the project of that name belongs to another folder.
    pub(crate) fn own_project(&self) -> Result<Option<ProjectName>, Failure> {
        let known = self.known_project()?;
        let Some(name) = known.as_ref().filter(|_| self.settings.project.is_none()) else {
            return Ok(known);
        };
        let folder = match self.files() {
            Ok(files) if self.context.existing_home()?.is_some() => files.folder,
            _ => return Ok(known),
        };
        let projects = self.engine.projects().map_err(super::failure::first)?;
        let Some(owner) = projects.iter().find(|row| row.name == *name && row.folder != folder)
        else {
            return Ok(known);
        };
        let there = owner.folder.display();
        Err(Failure::new("owner::elsewhere", "plan", format!("project {name} belongs to {there}"))
            .hint(format!(
                "Say `-p {name}` to act on that one, or give this one a name of its own."
            )))
    }

    /// Returns the project that was brought up from this folder, or from one above it.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn project_of_this_folder(&self) -> Result<Option<ProjectName>, Failure> {
        if !self.settings.files.is_empty() || self.context.existing_home()?.is_none() {
            return Ok(None);
        }
        let projects = self.engine.projects().map_err(super::failure::first)?;
        let here = projects
            .into_iter()
            .filter(|row| row.name.as_str() != ProjectName::ADHOC)
            .filter(|row| self.context.folder.starts_with(&row.folder))
            .max_by_key(|row| row.folder.components().count());
        Ok(here.map(|row| row.name))
    }

    /// Runs what waits for machines; the runtime is made for those commands alone.
    ///
    /// # Errors
    /// The host refused us what an event loop needs.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let build = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let refused = |why: String| {
            Failure::new("host::event-loop", "state", "cannot make an event loop").cause(why)
        };
        // Where the host has no socket pair for its signals, it panics instead of an answer.
        let runtime = ending::caught(build).map_err(refused)?;
        let runtime = runtime.map_err(|error| refused(error.to_string()))?;
        Ok(runtime.block_on(work))
    }
}

/// Reads the configuration of the home, which need not have one.
fn configuration(globals: &Globals, context: &Context) -> Result<Configuration, Failure> {
    let path = context.home().join(configuration::FILE_NAME);
    if path.symlink_metadata().is_err() {
        return Ok(Configuration::default());
    }
    // What somebody else may have written is not followed.
    context.existing_home()?;
    let bytes = sources::plain(context, &path, &Limits::default())?;
    Configuration::read(&SourceFile { path, bytes, format: Format::Kdl }).or_else(|failed| {
        let form = globals.form(context, &Configuration::default())?;
        Err(Failure::of_reading(&failed, &form))
    })
}
