//! Say what the policy of a sandbox would do with a connection

use schema::name::{InstanceName, ProjectName};
use schema::project::{Body, Connect, Place, instance_hostname};
use schema::sandboxfile::resolve::{Resolved, Tracing};
use serde_json::{Value, json};

use super::destination::Destination;
use super::verdict::{Ruling, Scene, Sibling, Verdict};
use crate::cli::call::Call;
use crate::cli::ending::Ending;
use crate::cli::failure::{Failure, first};
use crate::cli::file_flags::FileFlags;
use crate::cli::select;
use crate::cli::targets::{self, Target};
use crate::report::clean::clean;

/// Say what the policy of a sandbox would do with a connection, and by which rule
///
/// Nothing is sent, and the sandbox may be at rest. Judged is the policy that was last applied,
/// which is that of a machine that runs; of a sandbox that was never brought up, the file's.
/// A name is judged twice: whether it may be looked up, and whether what it leads to may be
/// reached. Exits with 0 where the connection is allowed, else with 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The sandbox
    #[arg(value_name = "NAME")]
    name: Target,
    /// Where it would connect
    #[arg(value_name = "HOST:PORT[/tcp|/udp]")]
    to: Destination,
}

/// Prints what was decided.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let subject = Subject::find(call, &args.name)?;
    let siblings = subject.siblings(call)?;
    let scene = Scene { name: &subject.name, sandbox: &subject.body, siblings: &siblings };
    let verdict = scene.judge(&args.to);
    if call.report.is_text() {
        tell(call, &subject, &verdict);
    } else {
        call.report.document(&shape(&subject, &verdict));
    }
    Ok(u8::from(!verdict.allowed()))
}

/// Whose policy is asked.
struct Subject {
    project: ProjectName,
    name: InstanceName,
    body: Body,
    /// Whether it was applied, or stands in the file alone.
    applied: bool,
    /// The file, where it can be read and is the project's.
    file: Option<Resolved>,
}

impl Subject {
    fn find(call: &Call, target: &Target) -> Result<Self, Failure> {
        let view = targets::look(call, target)?;
        let Some(view) = view else { return Self::of_file(call, target) };
        let gone = || targets::not_found(call, target);
        let file = read(call, &view.project).and_then(Result::ok);
        let body = view.definition.clone().ok_or_else(gone)?;
        Ok(Self { project: view.project, name: view.name, body, applied: true, file })
    }

    /// Looks for a sandbox that was never brought up.
    fn of_file(call: &Call, target: &Target) -> Result<Self, Failure> {
        let gone = || targets::not_found(call, target);
        let project = call.known_project()?.ok_or_else(gone)?;
        if target.project.as_ref().is_some_and(|meant| *meant != project) {
            return Err(gone());
        }
        let file = read(call, &project).ok_or_else(gone)??;
        let meant = file.project.meant(&target.name).next();
        let (name, body) = meant.map(|(n, b)| (n.clone(), b.clone())).ok_or_else(gone)?;
        Ok(Self { project, name, body, applied: false, file: Some(file) })
    }

    /// Returns what is known of the sandboxes that it connects to.
    fn siblings(&self, call: &Call) -> Result<Vec<Sibling>, Failure> {
        let mut found = Vec::with_capacity(self.body.connect.len());
        for (name, Connect { .. }) in &self.body.connect {
            let all = InstanceName::only(name.clone());
            let (views, bodies): (Vec<_>, Vec<_>) = if self.applied {
                let views = call.engine.instances(&self.project, &all).map_err(first)?;
                views.into_iter().filter_map(|v| Some((v.name, v.definition?))).unzip()
            } else {
                let meant = self.file.iter().flat_map(|file| file.project.meant(&all));
                meant.map(|(name, body)| (name.clone(), body.clone())).unzip()
            };
            let host = |instance: &InstanceName| {
                let index = instance.index.map(|index| index.to_string()).unwrap_or_default();
                instance_hostname(&instance.sandbox, &index)
            };
            let several = views.iter().filter(|view| view.index.is_some());
            found.push(Sibling {
                name: name.clone(),
                hosts: several.map(host).collect(),
                network: bodies.first().map(|body| body.network.clone()),
            });
        }
        Ok(found)
    }

    /// Returns where a thing that decided is written, where the file still says it.
    fn place(&self, ruling: &Ruling) -> Option<Place> {
        let ((sandbox, path), file) = (ruling.at.as_ref()?, self.file.as_ref()?);
        let own = *sandbox == self.name.sandbox;
        if own && !self.is_as_in_the_file() {
            return None;
        }
        let span = file.origins.span(&format!("sandbox.{sandbox}"), path)?;
        Some(file.origins.sources().place(span))
    }

    fn is_as_in_the_file(&self) -> bool {
        let wanted = self.file.as_ref().and_then(|file| file.project.sandboxes.get(&self.name));
        wanted.is_some_and(|wanted| {
            (&wanted.network, &wanted.connect) == (&self.body.network, &self.body.connect)
        })
    }
}

/// Reads the files of this command, if they are a project's; `None` where there are none of it.
fn read(call: &Call, project: &ProjectName) -> Option<Result<Resolved, Failure>> {
    let files = call.files().ok()?;
    let read = FileFlags::default()
        .reading(call, &files, [], Tracing::Off)
        .and_then(|reading| select::read(call, &files, &reading));
    match read {
        Ok(resolved) if resolved.project.name != *project => None,
        read => Some(read),
    }
}

fn tell(call: &Call, subject: &Subject, verdict: &Verdict) {
    if !subject.applied {
        call.report.note(&format!("{}: never brought up; judged as the file says", subject.name));
    } else if subject.file.is_some() && !subject.is_as_in_the_file() {
        let name = &subject.name;
        call.report.note(&format!("{name}: judged as last applied; the file says otherwise now"));
    }
    call.report.line(&line(subject, "", &verdict.flow));
    if let Some(name) = &verdict.name {
        call.report.line(&line(subject, "  dns     ", name));
    }
    for ruling in &verdict.unless {
        call.report.line(&line(subject, "  unless  ", ruling));
    }
}

fn line(subject: &Subject, label: &str, ruling: &Ruling) -> String {
    let word = if ruling.allowed { "allow" } else { "deny" };
    let place = subject.place(ruling).map(|place| format!("  {}:{}", place.file, place.line));
    clean(&format!("{label}{word}  {}{}", ruling.rule, place.unwrap_or_default())).into_owned()
}

fn shape(subject: &Subject, verdict: &Verdict) -> Value {
    let ruling = |ruling: &Ruling| {
        json!({
            "allowed": ruling.allowed, "rule": ruling.rule, "source": subject.place(ruling),
        })
    };
    json!({
        "project": subject.project, "address": format!("sandbox.{}", subject.name),
        "allowed": verdict.allowed(),
        "rule": verdict.flow.rule,
        "source": subject.place(&verdict.flow),
        "dns": verdict.name.as_ref().map(ruling),
        "unless": verdict.unless.iter().map(ruling).collect::<Vec<_>>(),
        "policy": if subject.applied { "applied" } else { "file" },
    })
}
