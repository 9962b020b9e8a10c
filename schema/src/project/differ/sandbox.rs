//! The fields of a sandbox.

use super::{FieldChange, Fields, Gather, quoted, reach};
use crate::project::{
    ArgumentList, Cpus, Dependency, EnvValue, Health, HostRoot, Image, Kind, Lifecycle, LogLevel,
    Memory, Metrics, Mount, MountSource, Platform, Probe, Pull, Ready, Restart, Rlimit, Root,
    Sandbox,
};

impl Sandbox {
    /// Returns every field in which `after` is not as `self`, by path.
    #[must_use]
    pub fn differing(&self, after: &Self) -> Vec<FieldChange> {
        let mut fields = Fields::new(Gather::Differing);
        self.walk(after, &mut fields);
        fields.sorted()
    }

    /// Returns every field with its value as people read it, by path.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields = Fields::new(Gather::All);
        self.walk(self, &mut fields);
        let found = fields.sorted().into_iter();
        found.filter_map(|field| Some((field.path, field.after?))).collect()
    }

    #[expect(clippy::too_many_lines, reason = "one line a field, all taken apart in one place")]
    fn walk(&self, after: &Self, fields: &mut Fields) {
        let Self {
            kind,
            root,
            upper,
            cpus,
            memory,
            driver,
            security,
            log_level,
            command,
            entrypoint,
            workdir,
            user,
            hostname,
            shell,
            env,
            env_files,
            rlimits,
            stop_signal,
            stop_grace,
            labels,
            mounts,
            ports,
            connect,
            network,
            secrets,
            depends_on,
            ready,
            health,
            restart,
            success_codes,
            idle_timeout,
            max_duration,
            lifecycle,
            metrics,
        } = self;
        fields.told("kind", kind, &after.kind, |kind| kind_word(*kind).to_owned());
        walk_root(fields, root, &after.root);
        fields.amount("upper", upper, &after.upper);
        walk_cpus(fields, *cpus, after.cpus);
        walk_memory(fields, *memory, after.memory);
        fields.told("driver", driver, &after.driver, |driver| driver.as_str().to_owned());
        fields.told("security", security, &after.security, |s| s.as_str().to_owned());
        let level = |level: &LogLevel| level.as_str().to_owned();
        fields.option("log-level", log_level.as_ref(), after.log_level.as_ref(), level);
        walk_arguments(fields, "command", command, &after.command);
        walk_arguments(fields, "entrypoint", entrypoint, &after.entrypoint);
        fields.option("workdir", workdir.as_ref(), after.workdir.as_ref(), ToString::to_string);
        fields.option("user", user.as_ref(), after.user.as_ref(), ToString::to_string);
        fields.option("hostname", hostname.as_ref(), after.hostname.as_ref(), Clone::clone);
        fields.value("shell", shell, &after.shell);
        fields.map("env", (env, &after.env), env_entry);
        let files = |files: &Vec<std::path::PathBuf>| words(files.iter().map(|f| f.display()));
        if !(env_files.is_empty() && after.env_files.is_empty()) {
            fields.told("env-file", env_files, &after.env_files, files);
        }
        fields.map("rlimits", (rlimits, &after.rlimits), |fields, path, before, after| {
            fields.push(path, before.map(rlimit), after.map(rlimit));
        });
        fields.option(
            "stop-signal",
            stop_signal.as_ref(),
            after.stop_signal.as_ref(),
            ToString::to_string,
        );
        fields.value("stop-grace", stop_grace, &after.stop_grace);
        fields.labels("labels", labels, &after.labels);
        walk_mounts(fields, mounts, &after.mounts);
        reach::ports(fields, ports, &after.ports);
        fields.map("connect", (connect, &after.connect), reach::connect);
        reach::network(fields, network, &after.network);
        fields.map("secrets", (secrets, &after.secrets), reach::secret);
        fields.map("depends-on", (depends_on, &after.depends_on), dependency);
        walk_ready(fields, ready, &after.ready);
        walk_health(fields, health.as_ref(), after.health.as_ref());
        walk_restart(fields, restart, &after.restart);
        let codes = |codes: &std::collections::BTreeSet<u8>| words(codes.iter());
        fields.told("success-codes", success_codes, &after.success_codes, codes);
        let (idle, max) = (after.idle_timeout.as_ref(), after.max_duration.as_ref());
        fields.option("idle-timeout", idle_timeout.as_ref(), idle, ToString::to_string);
        fields.option("max-duration", max_duration.as_ref(), max, ToString::to_string);
        let Lifecycle { protect, keep } = lifecycle;
        fields.value("lifecycle.protect", protect, &after.lifecycle.protect);
        fields.value("lifecycle.keep", keep, &after.lifecycle.keep);
        walk_metrics(fields, metrics, &after.metrics);
    }
}

/// Returns values as one text, a blank between two.
fn words(values: impl Iterator<Item = impl std::fmt::Display>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}

const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service",
        Kind::Job => "job",
    }
}

fn walk_root(fields: &mut Fields, before: &Root, after: &Root) {
    if !fields.takes(before, after) {
        return;
    }
    if let (Root::Image(before), Root::Image(after)) = (before, after) {
        let Image { reference, pull, platform } = before;
        fields.told("image", reference, &after.reference, crate::project::ImageRef::short);
        let word = |pull: &Pull| {
            let word = match pull {
                Pull::Missing => "missing",
                Pull::Never => "never",
            };
            word.to_owned()
        };
        fields.told("image.pull", pull, &after.pull, word);
        let word = |platform: &Platform| platform.as_str().to_owned();
        fields.option("image.platform", platform.as_ref(), after.platform.as_ref(), word);
        return;
    }
    for (kind, before, after) in [
        ("image", of_image(before), of_image(after)),
        ("root-disk", of_disk(before), of_disk(after)),
        ("root-dir", of_dir(before), of_dir(after)),
    ] {
        if before.is_some() || after.is_some() {
            fields.option(kind, before.as_ref(), after.as_ref(), ToString::to_string);
        }
    }
    let write = |root: &Root| match root {
        Root::Image(_) => None,
        Root::Disk(root) | Root::Dir(root) => Some(root.write),
    };
    let word = |write: &crate::project::Write| write.as_str().to_owned();
    fields.option("root.write", write(before).as_ref(), write(after).as_ref(), word);
}

fn of_image(root: &Root) -> Option<String> {
    root.reference().map(crate::project::ImageRef::short)
}

fn of_disk(root: &Root) -> Option<String> {
    match root {
        Root::Disk(HostRoot { path, .. }) => Some(path.display().to_string()),
        Root::Image(_) | Root::Dir(_) => None,
    }
}

fn of_dir(root: &Root) -> Option<String> {
    match root {
        Root::Dir(HostRoot { path, .. }) => Some(path.display().to_string()),
        Root::Image(_) | Root::Disk(_) => None,
    }
}

fn walk_cpus(fields: &mut Fields, before: Cpus, after: Cpus) {
    let Cpus { count, max } = before;
    fields.amount("cpus.count", &count, &after.count);
    fields.amount("cpus.max", &max, &after.max);
}

fn walk_memory(fields: &mut Fields, before: Memory, after: Memory) {
    let Memory { size, max } = before;
    fields.amount("memory.size", &size, &after.size);
    fields.amount("memory.max", &max, &after.max);
}

fn walk_arguments(fields: &mut Fields, path: &str, before: &ArgumentList, after: &ArgumentList) {
    let tell = |arguments: &ArgumentList| match arguments {
        ArgumentList::Image => None,
        ArgumentList::Nothing => Some("none".to_owned()),
        ArgumentList::Words(words) => Some(quoted(words)),
    };
    if fields.takes(before, after) {
        fields.option(path, tell(before).as_ref(), tell(after).as_ref(), Clone::clone);
    }
}

fn env_entry(
    fields: &mut Fields,
    path: String,
    before: Option<&EnvValue>,
    after: Option<&EnvValue>,
) {
    fields.push(path, before.map(ToString::to_string), after.map(ToString::to_string));
    fields.last().sensitive =
        [before, after].iter().any(|value| value.is_some_and(EnvValue::is_sensitive));
}

fn rlimit(limit: &Rlimit) -> String {
    let Rlimit { soft, hard } = limit;
    if soft == hard { soft.to_string() } else { format!("{soft} hard={hard}") }
}

fn walk_mounts(fields: &mut Fields, before: &[Mount], after: &[Mount]) {
    if !fields.takes(before, after) {
        return;
    }
    let by_place = |mounts: &[Mount]| -> std::collections::BTreeMap<String, Mount> {
        let keyed = mounts.iter().map(|mount| (mount.destination.to_string(), mount.clone()));
        keyed.collect()
    };
    let (before, after) = (by_place(before), by_place(after));
    fields.map("mounts", (&before, &after), |fields, path, before, after| {
        let source = |mount: Option<&Mount>| mount.map(|mount| mount_source(&mount.source));
        let options = |mount: Option<&Mount>| mount.map(|mount| mount.options.to_string());
        if before.is_none() || after.is_none() {
            let whole = |mount: Option<&Mount>| {
                mount.map(|mount| format!("{} {}", mount_source(&mount.source), mount.options))
            };
            fields.push(path, whole(before), whole(after));
            return;
        }
        fields.option(&path, source(before).as_ref(), source(after).as_ref(), Clone::clone);
        let path = format!("{path}.options");
        fields.option(&path, options(before).as_ref(), options(after).as_ref(), Clone::clone);
    });
}

/// Returns what a mount is made from, as people read it: what is not said is left out.
fn mount_source(source: &MountSource) -> String {
    let mut text = format!("{} ", source.kind());
    let mut add = |part: String| text.extend([part.as_str(), " "]);
    match source {
        MountSource::Named(volume) => add(volume.to_string()),
        MountSource::Dir(dir) => {
            add(dir.path.display().to_string());
            if dir.ensure != Default::default() {
                add(format!("ensure={}", dir.ensure.as_str()));
            }
            dir.quota.into_iter().for_each(|quota| add(format!("quota={quota}")));
            if dir.stat_virt != Default::default() {
                add(format!("stat-virt={}", dir.stat_virt.as_str()));
            }
            if dir.host_perms != Default::default() {
                add(format!("host-perms={}", dir.host_perms.as_str()));
            }
            if dir.follow_symlink {
                add("follow-symlink".to_owned());
            }
        }
        MountSource::File(file) => {
            add(file.path.display().to_string());
            if file.ensure != Default::default() {
                add(format!("ensure={}", file.ensure.as_str()));
            }
            if file.on_change != Default::default() {
                add(format!("on-change={}", file.on_change));
            }
        }
        MountSource::Disk(disk) => {
            add(disk.path.display().to_string());
            disk.fstype.into_iter().for_each(|fstype| add(fstype.as_str().to_owned()));
        }
        MountSource::Tmpfs { size, mode } => add(format!("{size}, mode {mode:04o}")),
    }
    text.truncate(text.trim_end().len());
    text
}

fn dependency(
    fields: &mut Fields,
    path: String,
    before: Option<&Dependency>,
    after: Option<&Dependency>,
) {
    let until = |dependency: &Dependency| match &dependency.until {
        crate::project::Until::Log(pattern) => format!("log {pattern:?}"),
        until => until.as_str().to_owned(),
    };
    let (Some(before), Some(after)) = (before, after) else {
        fields.push(path, before.map(until), after.map(until));
        return;
    };
    let Dependency { until: _, optional, on_change } = before;
    fields.told(&format!("{path}.until"), before, after, until);
    if fields.found.last().is_some_and(|last| last.before == last.after)
        && fields.gather == Gather::Differing
    {
        // The dependencies differ in something else than their condition.
        fields.found.pop();
    }
    fields.value(&format!("{path}.optional"), optional, &after.optional);
    let word = |on_change: &crate::project::OnChange| on_change.as_str().to_owned();
    fields.told(&format!("{path}.on-change"), on_change, &after.on_change, word);
}

fn probe(probe: &Probe) -> String {
    match probe {
        Probe::Agent => "agent".to_owned(),
        Probe::Exec(words) => format!("exec {}", quoted(words)),
        Probe::Tcp(port) => format!("tcp {port}"),
        Probe::Http(http) => {
            let (scheme, port, path) = (http.scheme.as_str(), http.port, &http.path);
            let host = http.host.as_ref().map_or_else(String::new, |host| format!(" host={host}"));
            format!("{scheme} :{port}{path}{host} status={}", http.status)
        }
        Probe::Log(pattern) => format!("log {pattern:?}"),
    }
}

fn walk_ready(fields: &mut Fields, before: &Ready, after: &Ready) {
    let Ready { probe: before_probe, timeout } = before;
    fields.told("ready.probe", before_probe, &after.probe, probe);
    fields.value("ready.timeout", timeout, &after.timeout);
}

fn walk_health(fields: &mut Fields, before: Option<&Health>, after: Option<&Health>) {
    if !fields.takes(&before, &after) {
        return;
    }
    let mut leaf = |path: &str, tell: &dyn Fn(&Health) -> String| {
        fields.option(path, before.map(tell).as_ref(), after.map(tell).as_ref(), Clone::clone);
    };
    leaf("health.probe", &|health| probe(&health.probe));
    leaf("health.interval", &|health| health.interval.to_string());
    leaf("health.timeout", &|health| health.timeout.to_string());
    leaf("health.failures", &|health| health.failures.to_string());
    leaf("health.successes", &|health| health.successes.to_string());
    leaf("health.on-unhealthy", &|health| {
        let Health { probe: _, interval: _, timeout: _, failures: _, successes: _, on_unhealthy } =
            health;
        on_unhealthy.as_str().to_owned()
    });
}

fn walk_restart(fields: &mut Fields, before: &Restart, after: &Restart) {
    let Restart { policy, max, window, delay, factor, cap, jitter, then } = before;
    fields.told("restart.policy", policy, &after.policy, |policy| policy.as_str().to_owned());
    fields.value("restart.max", max, &after.max);
    fields.value("restart.window", window, &after.window);
    fields.value("restart.delay", delay, &after.delay);
    fields.value("restart.factor", factor, &after.factor);
    fields.value("restart.cap", cap, &after.cap);
    fields.value("restart.jitter", jitter, &after.jitter);
    fields.told("restart.then", then, &after.then, |then| then.as_str().to_owned());
}

fn walk_metrics(fields: &mut Fields, before: &Metrics, after: &Metrics) {
    let Metrics { enabled, interval, labels, exclude_labels, attributes } = before;
    fields.value("metrics.enabled", enabled, &after.enabled);
    fields.value("metrics.interval", interval, &after.interval);
    fields.value("metrics.labels", labels, &after.labels);
    if !(exclude_labels.is_empty() && after.exclude_labels.is_empty()) {
        let keys = |keys: &std::collections::BTreeSet<String>| words(keys.iter());
        fields.told("metrics.exclude-labels", exclude_labels, &after.exclude_labels, keys);
    }
    fields.labels("metrics.attributes", attributes, &after.attributes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::EnvKey;
    use crate::project::{Direction, ImageRef};
    use crate::units::Bytes;

    fn web() -> Sandbox {
        Sandbox::new(Kind::Service, ImageRef::parse("redis:7").unwrap())
    }

    #[test]
    fn equal_definitions_differ_in_nothing() {
        assert_eq!(web().differing(&web()), []);
    }

    #[test]
    fn a_change_names_the_field_and_both_values_as_people_read_them() {
        let mut after = web();
        after.memory.size = Bytes::gib(1);
        after.env.insert(EnvKey::parse("PW").unwrap(), EnvValue::FromEnv("PGPW".into()));
        let lines: Vec<String> = web()
            .differing(&after)
            .iter()
            .map(|c| {
                format!("{} {:?} {:?} {:?} {}", c.path, c.before, c.after, c.direction, c.sensitive)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "env.PW None Some(\"env:PGPW\") Other true",
                "memory.size Some(\"512 MiB\") Some(\"1 GiB\") Grown false",
            ]
        );
        assert_eq!(after.differing(&web())[1].direction, Direction::Shrunk);
    }

    #[test]
    fn another_kind_of_root_is_a_change_of_both() {
        let mut after = web();
        let path = "/srv/rootfs".into();
        after.root = Root::Dir(HostRoot { path, write: crate::project::Write::Private });
        let paths: Vec<String> =
            web().differing(&after).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["image", "root-dir", "root.write"]);
    }
}
