//! What a machine is told of the others of its project: whom it may call, and who may call it.

use std::collections::{BTreeMap, BTreeSet};

use schema::launch::Instance;
use schema::name::{InstanceName, SandboxName};
use schema::project::network::PortSet;
use schema::project::{Project, Sandbox, instance_hostname};

/// Returns the machines of each sandbox that is connected to.
pub(super) fn instances(want: &Sandbox, project: &Project) -> BTreeMap<SandboxName, Vec<Instance>> {
    let of = |target: &SandboxName| {
        let all = project.instances(target);
        all.map(|(name, body)| Instance {
            instance: name.slot(),
            hostname: body
                .hostname
                .clone()
                .unwrap_or_else(|| instance_hostname(target, &name.slot())),
        })
        .collect()
    };
    want.connect.keys().map(|target| (target.clone(), of(target))).collect()
}

/// Returns the sandboxes that are connected to this one, each with the ports that it may call.
pub(super) fn callers(called: &SandboxName, project: &Project) -> BTreeMap<SandboxName, PortSet> {
    // Instances share one body, so the first says what all do.
    let calls = project.sandboxes.iter().filter_map(|(name, body)| {
        Some((name.sandbox.clone(), body.connect.get(called)?.ports.clone()))
    });
    calls.collect()
}

/// Returns the instances whose machines are told something else of their siblings when this one is made,
/// changed or gone: those that it calls or called by `before`, and those that call it.
#[must_use]
pub fn neighbours(
    name: &InstanceName,
    before: Option<&Sandbox>,
    project: &Project,
) -> BTreeSet<InstanceName> {
    let now = project.sandboxes.get(name).map(|body| &**body);
    let called: BTreeSet<&SandboxName> =
        before.into_iter().chain(now).flat_map(|sandbox| sandbox.connect.keys()).collect();
    let all = project.sandboxes.iter();
    all.filter(|(other, body)| {
        other.sandbox != name.sandbox
            && (called.contains(&other.sandbox) || body.connect.contains_key(&name.sandbox))
    })
    .map(|(other, _)| other.clone())
    .collect()
}

#[cfg(test)]
mod tests {
    use schema::name::ProjectName;
    use schema::project::{Connect, ImageRef, Kind};

    use super::*;

    fn name(text: &str) -> SandboxName {
        SandboxName::parse(text).unwrap()
    }

    /// `web` in two instances calls `db` and `cache`, `job` calls `db`.
    fn project() -> Project {
        let mut project = Project::empty(ProjectName::parse("shop").unwrap(), "/srv".into());
        let calls = [
            ("web.0", &[("db", "5432"), ("cache", "any")][..]),
            ("web.1", &[("db", "5432"), ("cache", "any")]),
            ("job", &[("db", "5432,9187")]),
            ("db", &[]),
            ("cache", &[]),
        ];
        for (instance, targets) in calls {
            let mut one = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
            for (target, ports) in targets {
                let ports = PortSet::parse(ports).unwrap();
                one.connect.insert(name(target), Connect { ports, alias: name(target) });
            }
            project.sandboxes.insert(InstanceName::parse(instance).unwrap(), one.into());
        }
        project
    }

    #[test]
    fn rt_9_10_a_machine_is_told_who_may_call_it_and_where() {
        let told = callers(&name("db"), &project());
        let told: Vec<String> = told.iter().map(|(from, at)| format!("{from} {at}")).collect();
        assert_eq!(told, ["job 5432,9187", "web 5432"]);
        assert!(callers(&name("web"), &project()).is_empty());
    }

    #[test]
    fn rt_9_10_a_machine_is_told_every_instance_of_whom_it_calls() {
        let mut project = project();
        let mut other = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
        let ports = PortSet::parse("80").unwrap();
        other.connect.insert(name("web"), Connect { ports, alias: name("front") });
        let told = |project: &Project| -> Vec<(String, String)> {
            let mut told = instances(&other, project);
            let told = told.remove(&name("web")).unwrap_or_default();
            told.into_iter().map(|one| (one.instance, one.hostname)).collect()
        };
        let row = |slot: &str, host: &str| (slot.to_owned(), host.to_owned());
        assert_eq!(told(&project), [row("0", "web-0"), row("1", "web-1")]);
        project.sandboxes.retain(|name, _| name.sandbox.as_str() != "web");
        let mut web = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
        web.hostname = Some("www".to_owned());
        project.sandboxes.insert(InstanceName::only(name("web")), web.into());
        assert_eq!(told(&project), [row("", "www")]);
    }

    #[test]
    fn both_ends_learn_of_a_change_of_either() {
        let project = project();
        let told = |of: &str, before: Option<&Sandbox>| -> Vec<String> {
            let name = InstanceName::parse(of).unwrap();
            neighbours(&name, before, &project).iter().map(ToString::to_string).collect()
        };
        assert_eq!(told("web.0", None), ["cache", "db"]);
        assert_eq!(told("db", None), ["job", "web[0]", "web[1]"]);
        let before = project.sandboxes.get(&InstanceName::parse("web.0").unwrap());
        assert_eq!(told("job", before.map(|body| &**body)), ["cache", "db"], "called before");
    }
}
