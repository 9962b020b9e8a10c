//! The one list of what the language can say and no machine does yet.
//!
//! Such a key is read, resolved and planned like any other; a plan that would
//! boot it refuses to be carried out. A default that is not honoured yet is
//! nobody's wish: what counts is what was written, or differs from the default.

use schema::project::{
    EnvValue, OnUnhealthy, Probe, Restart, RestartPolicy, Root, Sandbox, Scheme, Until,
};

/// Returns the fields of a sandbox that no machine honours yet, by path.
///
/// `is_written` tells whether a field stands in a file, for those whose default
/// is not built either.
#[must_use]
pub fn unbuilt(sandbox: &Sandbox, is_written: impl Fn(&str) -> bool) -> Vec<String> {
    let mut fields = Vec::new();
    let mut add = |field: &str| fields.push(field.to_owned());
    match sandbox.root {
        Root::Image(_) => {}
        Root::Disk(_) => add("root-disk"),
        Root::Dir(_) => add("root-dir"),
    }
    sandbox.connect.keys().for_each(|target| add(&format!("connect.{target}")));
    for (key, value) in &sandbox.env {
        if matches!(value, EnvValue::Secret(_)) {
            add(&format!("env.{key}"));
        }
    }
    for (target, dependency) in &sandbox.depends_on {
        if matches!(dependency.until, Until::Log(_)) {
            add(&format!("depends-on.{target}.until"));
        }
    }
    if has_tls(&sandbox.ready.probe) {
        add("ready.http.scheme");
    }
    if let Some(health) = &sandbox.health {
        if has_tls(&health.probe) {
            add("health.http.scheme");
        }
        if health.on_unhealthy != OnUnhealthy::None {
            add("health.on-unhealthy");
        }
    }
    let policy = sandbox.restart.policy;
    let plain = Restart { policy, ..Restart::of(sandbox.kind) };
    let written = is_written("restart.policy") && policy != RestartPolicy::No;
    if written || sandbox.restart != plain {
        add("restart");
    }
    if sandbox.idle_timeout.is_some() {
        add("idle-timeout");
    }
    if sandbox.max_duration.is_some() {
        add("max-duration");
    }
    if sandbox.metrics != schema::project::Metrics::default() {
        add("metrics");
    }
    fields
}

/// Tells whether a probe speaks through TLS.
fn has_tls(probe: &Probe) -> bool {
    matches!(probe, Probe::Http(http) if http.scheme == Scheme::Https)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::project::{ImageRef, Kind};
    use schema::units::Millis;

    #[test]
    fn a_default_is_nobodys_wish() {
        let mut web = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
        assert!(unbuilt(&web, |_| false).is_empty());
        assert_eq!(unbuilt(&web, |field| field == "restart.policy"), ["restart"]);
        web.restart.policy = RestartPolicy::No;
        assert!(unbuilt(&web, |field| field == "restart.policy").is_empty());
        web.restart.max = 9;
        web.idle_timeout = Some(Millis::seconds(1));
        web.ready.probe = Probe::Tcp(80);
        assert_eq!(unbuilt(&web, |_| false), ["restart", "idle-timeout"]);
    }
}
