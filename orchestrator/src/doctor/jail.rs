//! What the jail of a machine lacks on this host, found out by going to one.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::Finding;
use crate::context::Context;
use crate::drivers::Drivers;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A check, the layers that it is about, what they stop, and what to do where one is missing.
struct Check {
    id: &'static str,
    layers: &'static [&'static str],
    stops: &'static str,
    hint: &'static str,
}

const CHECKS: [Check; 3] = [
    Check {
        id: "user-namespaces",
        layers: &["namespaces", "root", "capabilities", "dumpable", "limits"],
        stops: "a VMM that is taken over sees no file, process or network of the host",
        hint: "allow them: sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0, \
               and where AppArmor restricts them kernel.apparmor_restrict_unprivileged_userns=0",
    },
    Check {
        id: "landlock",
        layers: &["landlock"],
        stops: "a VMM that is taken over opens no file but its own, by whatever way",
        hint: "run Linux 5.13 or newer with landlock among its security modules (lsm=landlock,…)",
    },
    Check {
        id: "seccomp",
        layers: &["seccomp"],
        stops: "a VMM that is taken over cannot ask the kernel for what no machine needs",
        hint: "run a kernel with CONFIG_SECCOMP_FILTER",
    },
];

/// Puts a process into the jail of a machine, and says for each group of layers whether it was given.
pub(super) async fn jail(context: &Context) -> Vec<Finding> {
    let looked = timeout(PATIENCE, look(context)).await;
    let looked = looked.unwrap_or_else(|_| Err("a process in a jail does not end".into()));
    let of_layers = CHECKS.iter().map(|check| check.find(&looked));
    of_layers.chain([groups(&looked)]).collect()
}

/// What a process in a jail found; the shape is the runtime's.
#[derive(Debug, Default, Deserialize)]
struct Looked {
    /// A line `LAYER: why` for each layer that is missing.
    missing: Vec<String>,
    /// The control group that was made for it.
    group: Option<String>,
}

/// Says whether machines have control groups: a matter of how the host is run, and no layer that a machine lacks.
fn groups(looked: &Result<Looked, String>) -> Finding {
    let group = looked.as_ref().ok().and_then(|looked| looked.group.as_deref());
    let above = group.and_then(|group| Path::new(group).parent());
    match above {
        Some(above) => Finding::ok(
            "cgroups",
            format!(
                "a machine takes no more memory and threads than its own, in a group below {}",
                above.display()
            ),
        ),
        None => Finding::ok(
            "cgroups",
            "no group of version 2 above msb is delegated with memory and pids: what a VMM takes beside its \
             guest's memory is not limited",
        ),
    }
}

async fn look(context: &Context) -> Result<Looked, String> {
    let program = Drivers::of(context).runtime().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg("jail").env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| error.to_string())?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    serde_json::from_slice(&output.stdout).map_err(|_| said())
}

impl Check {
    fn find(&self, looked: &Result<Looked, String>) -> Finding {
        match looked {
            Ok(Looked { missing: lines, .. }) => {
                let is_ours = |line: &&String| {
                    self.layers.iter().any(|layer| line.split(':').next() == Some(layer))
                };
                let missing: Vec<&str> = lines.iter().filter(is_ours).map(String::as_str).collect();
                if missing.is_empty() {
                    return Finding::ok(self.id, self.stops);
                }
                let missing = missing.join("; ");
                let detail = format!("missing: {missing}; it is not so that {}", self.stops);
                Finding::warn(self.id, detail).hint(self.hint)
            }
            Err(why) => Finding::warn(self.id, format!("nobody came into a jail: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn rt_13_8_each_missing_layer_is_a_warning_with_what_it_would_have_stopped() {
        let missing = vec!["landlock: Function not implemented".to_owned()];
        let looked = Ok(Looked { missing, ..Looked::default() });
        let found = CHECKS.each_ref().map(|check| check.find(&looked));
        assert_eq!(found.each_ref().map(|one| one.status), [Status::Ok, Status::Warn, Status::Ok]);
        assert!(found[1].detail.contains("Function not implemented"), "{}", found[1].detail);
        assert!(found[1].detail.contains("opens no file but its own"), "{}", found[1].detail);
        let nobody = CHECKS[0].find(&Err("no such program".into()));
        assert_eq!((nobody.status, nobody.hint), (Status::Warn, None));
    }

    #[test]
    fn rt_13_8_a_host_that_delegates_no_group_says_so_and_lacks_nothing() {
        let of = |group: Option<&str>| {
            groups(&Ok(Looked { group: group.map(str::to_owned), ..Looked::default() }))
        };
        assert!(of(Some("/sys/fs/cgroup/app/msb-1")).detail.contains("below /sys/fs/cgroup/app"));
        let none = of(None);
        assert!(
            none.status == Status::Ok && none.detail.contains("is delegated"),
            "{}",
            none.detail
        );
    }

    #[test]
    fn every_layer_belongs_to_one_check() {
        let mut layers: Vec<&str> = CHECKS.iter().flat_map(|check| check.layers).copied().collect();
        layers.sort_unstable();
        let all =
            ["capabilities", "dumpable", "landlock", "limits", "namespaces", "root", "seccomp"];
        assert_eq!(layers, all);
    }
}
