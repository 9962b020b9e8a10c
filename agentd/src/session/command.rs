//! From what a client asks for to what can be started: user, environment, folder, program.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};

use schema::wire::boot::EnvVar;
use schema::wire::message::{Exec, ExecFailed, ExecFailure, Rlimit};

use super::environment::{Environment, PATH_DEFAULT, candidates};
use super::settings::Settings;
use crate::boot::user_of;
use crate::place::Place;
use crate::sys;
use crate::sys::limits::Limit;
use crate::sys::spawn::{Credentials, Stage};
use crate::users::Identity;

/// Programs that the sandbox itself brings, found behind those of the image.
const OUR_PROGRAMS: &str = "/.msb/bin";

/// A command that can be started.
#[derive(Debug)]
pub(crate) struct Command {
    /// Paths that are tried in turn.
    pub(crate) programs: Vec<CString>,
    /// Arguments.
    pub(crate) argv: Vec<CString>,
    /// Environment.
    pub(crate) envp: Vec<CString>,
    /// Working folder.
    pub(crate) cwd: CString,
    /// Who it runs as, where that changes.
    pub(crate) credentials: Option<Credentials>,
    /// Its limits.
    pub(crate) limits: Vec<Limit>,
    /// What it was asked for by name, for people.
    pub(crate) name: String,
}

impl Command {
    /// Works out everything that can be known before the fork.
    pub(crate) fn prepare(exec: &Exec, settings: &Settings) -> Result<Self, ExecFailed> {
        let Some(name) = exec.argv.first() else {
            return Err(failed(ExecFailure::NotFound, 0, "no command was given"));
        };
        let user = exec.user.as_deref().or(settings.user.as_deref());
        let who = user_of(&settings.place, user)
            .map_err(|unknown| failed(ExecFailure::User, 0, unknown.to_string()))?;
        let limits = limits(settings, &exec.rlimits)?;
        let environment = environment(exec, settings, &who)?;
        let programs = c_strings(candidates(name, environment.path()))?;
        let cwd = working_folder(exec.cwd.as_deref(), settings, &who)?;
        Ok(Self {
            programs,
            argv: c_strings(exec.argv.iter().cloned())?,
            envp: c_strings(environment.into_lines())?,
            cwd: CString::new(cwd.as_os_str().as_bytes()).map_err(|_| holds_zero())?,
            credentials: credentials(&settings.place, who),
            limits,
            name: name.clone(),
        })
    }

    /// Returns this program again, with words of its own: what a session's user may, and no environment.
    pub(crate) fn ours(
        program: &str,
        argv: Vec<CString>,
        user: Option<&str>,
        settings: &Settings,
    ) -> Result<Self, ExecFailed> {
        let user = user.or(settings.user.as_deref());
        let who = user_of(&settings.place, user)
            .map_err(|unknown| failed(ExecFailure::User, 0, unknown.to_string()))?;
        Ok(Self {
            programs: c_strings([program.to_owned()])?,
            argv,
            envp: Vec::new(),
            cwd: c"/".to_owned(),
            credentials: credentials(&settings.place, who),
            limits: limits(settings, &[])?,
            name: program.to_owned(),
        })
    }

    /// Says why the child could not become this command.
    pub(crate) fn explain(&self, stage: Stage, errno: i32) -> ExecFailed {
        let kind = match (stage, errno) {
            (Stage::Setup, _) => ExecFailure::Other,
            (Stage::Limits, _) => ExecFailure::Limits,
            (Stage::User, _) => ExecFailure::User,
            (Stage::Cwd, _) => ExecFailure::Cwd,
            (Stage::Exec, errno_of::ENOENT | errno_of::ENOTDIR) => {
                // The kernel says the same when the program is there and what runs it is not.
                if self.name.starts_with('/') && Path::new(&self.name).is_file() {
                    let detail = format!("{}: what it is to be run by is missing", self.name);
                    return failed(ExecFailure::NotExecutable, errno, detail);
                }
                ExecFailure::NotFound
            }
            (Stage::Exec, errno_of::E2BIG) => ExecFailure::Other,
            (Stage::Exec, _) => ExecFailure::NotExecutable,
        };
        let detail = match stage {
            Stage::Cwd => self.cwd.to_string_lossy().into_owned(),
            Stage::Setup | Stage::Limits | Stage::User | Stage::Exec => self.name.clone(),
        };
        failed(kind, errno, detail)
    }
}

/// Numbers of the kernel's answers, which are the same on every architecture.
mod errno_of {
    pub(super) const ENOENT: i32 = 2;
    pub(super) const E2BIG: i32 = 7;
    pub(super) const ENOTDIR: i32 = 20;
}

/// Returns a refusal.
pub(crate) fn failed(kind: ExecFailure, errno: i32, detail: impl Into<String>) -> ExecFailed {
    ExecFailed { kind, errno, detail: detail.into() }
}

fn limits(settings: &Settings, own: &[Rlimit]) -> Result<Vec<Limit>, ExecFailed> {
    let mut limits = settings.limits.clone();
    for limit in settings.rlimits.iter().chain(own) {
        let parsed = Limit::parse(&limit.resource, limit.soft, limit.hard);
        limits.push(parsed.ok_or_else(|| {
            failed(ExecFailure::Limits, 0, format!("no limit is called `{}`", limit.resource))
        })?);
    }
    Ok(limits)
}

fn environment(
    exec: &Exec,
    settings: &Settings,
    who: &Identity,
) -> Result<Environment, ExecFailed> {
    let bad = |variable: &&EnvVar| variable.key.is_empty() || variable.key.contains('=');
    if let Some(variable) = settings.env.iter().chain(&exec.env).find(bad) {
        let detail = format!("no variable can be called `{}`", variable.key);
        return Err(failed(ExecFailure::Other, 0, detail));
    }
    let path = match &settings.place {
        Place::Machine => PATH_DEFAULT,
        Place::Process { path, .. } => path,
    };
    let mut environment = Environment::with_path(path);
    environment.apply(&settings.env);
    environment.apply(&exec.env);
    environment.fill_in(who, &settings.shell);
    if let Some(tty) = &exec.tty {
        environment.fill_in_terminal(&tty.term);
    }
    match &settings.place {
        Place::Process { root, .. } => environment.set("MSB_ROOT", &root.to_string_lossy()),
        Place::Machine
            if fs::read_dir(OUR_PROGRAMS).is_ok_and(|mut found| found.next().is_some()) =>
        {
            environment.append_to_path(OUR_PROGRAMS);
        }
        Place::Machine => {}
    }
    Ok(environment)
}

/// Returns the folder to start in; the sandbox's own is made where it is missing.
fn working_folder(
    own: Option<&str>,
    settings: &Settings,
    who: &Identity,
) -> Result<PathBuf, ExecFailed> {
    let folder = own.or(settings.workdir.as_deref()).unwrap_or("/");
    let path = settings.place.resolve(folder);
    if own.is_none() && !path.exists() {
        make_folder(&path, settings.place.is_machine().then_some(who))
            .map_err(|error| failed(ExecFailure::Cwd, error.raw_os_error().unwrap_or(0), folder))?;
    }
    Ok(path)
}

/// Makes a folder and those above it, each the user's.
fn make_folder(path: &Path, owner: Option<&Identity>) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent, owner)?;
    }
    fs::DirBuilder::new().mode(0o755).create(path)?;
    match owner {
        Some(who) => chown(path, Some(who.uid), Some(who.gid)),
        None => Ok(()),
    }
}

/// Without a machine only root can be somebody else, and only where a number says so.
fn credentials(place: &Place, who: Identity) -> Option<Credentials> {
    let changes = match place {
        Place::Machine => true,
        Place::Process { .. } => sys::children::is_root() && who.uid != 0,
    };
    changes.then_some(Credentials { uid: who.uid, gid: who.gid, groups: who.groups })
}

fn c_strings(texts: impl IntoIterator<Item = String>) -> Result<Vec<CString>, ExecFailed> {
    texts.into_iter().map(|text| CString::new(text).map_err(|_| holds_zero())).collect()
}

fn holds_zero() -> ExecFailed {
    failed(ExecFailure::Other, 0, "an argument, variable or path holds a zero byte")
}

#[cfg(test)]
mod tests {
    use schema::wire::message::{OnGone, StdinMode, Tty};

    use super::*;
    use crate::sys::spawn::Profile;

    fn some_settings() -> Settings {
        Settings {
            place: Place::Process { root: std::env::temp_dir(), path: "/bin:/usr/bin".into() },
            env: vec![EnvVar { key: "A".into(), value: "1".into() }],
            user: None,
            workdir: None,
            shell: "/bin/sh".into(),
            limits: vec![],
            rlimits: vec![],
            profile: Profile::Default,
        }
    }

    fn some_exec() -> Exec {
        Exec {
            argv: vec!["true".into()],
            env: vec![],
            cwd: None,
            user: None,
            tty: Some(Tty { rows: 1, cols: 1, term: "dumb".into() }),
            stdin: StdinMode::None,
            rlimits: vec![],
            on_gone: OnGone::Kill,
            log: false,
            name: None,
        }
    }

    fn refused(change: impl FnOnce(&mut Exec), kind: ExecFailure, detail: &str) {
        let mut exec = some_exec();
        change(&mut exec);
        let refusal = Command::prepare(&exec, &some_settings()).unwrap_err();
        assert_eq!((refusal.kind, refusal.detail.as_str()), (kind, detail));
    }

    #[test]
    fn a_command_gets_paths_environment_and_folder() {
        let command = Command::prepare(&some_exec(), &some_settings()).unwrap();
        assert_eq!(command.programs, [c"/bin/true".to_owned(), c"/usr/bin/true".to_owned()]);
        for line in [c"A=1", c"TERM=xterm"] {
            assert!(command.envp.contains(&line.to_owned()), "{line:?}");
        }
        assert_eq!(command.cwd.as_bytes(), std::env::temp_dir().as_os_str().as_bytes());
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_by_name() {
        refused(|exec| exec.argv.clear(), ExecFailure::NotFound, "no command was given");
        refused(
            |exec| {
                exec.rlimits = vec![Rlimit { resource: "files".into(), soft: None, hard: None }];
            },
            ExecFailure::Limits,
            "no limit is called `files`",
        );
        refused(
            |exec| exec.env = vec![EnvVar { key: "A=B".into(), value: String::new() }],
            ExecFailure::Other,
            "no variable can be called `A=B`",
        );
        refused(
            |exec| exec.argv.push("a\0b".into()),
            ExecFailure::Other,
            "an argument, variable or path holds a zero byte",
        );
    }

    #[test]
    fn the_kernels_answer_decides_the_kind() {
        let command = Command::prepare(&some_exec(), &some_settings()).unwrap();
        for (stage, errno, kind) in [
            (Stage::Exec, errno_of::ENOENT, ExecFailure::NotFound),
            (Stage::Exec, 13, ExecFailure::NotExecutable),
            (Stage::Exec, errno_of::E2BIG, ExecFailure::Other),
            (Stage::Cwd, errno_of::ENOENT, ExecFailure::Cwd),
            (Stage::Limits, 1, ExecFailure::Limits),
            (Stage::User, 1, ExecFailure::User),
        ] {
            assert_eq!(command.explain(stage, errno).kind, kind);
        }
    }
}
