//! The body of a sandbox or job, key by key.

use super::node::{Node, line};
use super::values::{boolean, decimal, duration, image, number, size, text};
use super::{Fields, Unwritable, Writer};
use crate::name::SandboxName;
use crate::project::{
    AfterRestarts, Cpus, HostRoot, Image, Labels, Memory, Metrics, Platform, Pull, Restart, Root,
    Sandbox, Security, Write, default_shell,
};
use crate::units::Bytes;

impl Writer<'_> {
    /// Writes everything of a body; what may not be done to it stands with what is its name's.
    pub(super) fn body(
        &self,
        node: &mut Node,
        name: &SandboxName,
        sandbox: &Sandbox,
    ) -> Result<(), Unwritable> {
        let Sandbox {
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
            lifecycle: _,
            metrics,
        } = sandbox;
        self.root(node, name, (root, *upper))?;
        self.resources(node, (*cpus, *memory));
        node.unless("driver", driver, &self.project.driver, |driver| text(driver.as_str()));
        node.unless("security", security, &Security::default(), |how| text(how.as_str()));
        node.some("log-level", log_level.as_ref(), |level| text(level.as_str()));
        self.arguments(node, "command", command);
        self.arguments(node, "entrypoint", entrypoint);
        node.some("workdir", workdir.as_ref(), |path| text(path.as_str()));
        node.some("user", user.as_ref(), |user| text(user.as_str()));
        node.some("hostname", hostname.as_ref(), |host| text(host));
        node.unless("shell", shell, &default_shell(), |shell| text(shell.as_str()));
        self.env(node, name, (env, env_files))?;
        self.rlimits(node, rlimits);
        node.some("stop-signal", stop_signal.as_ref(), |signal| text(signal.as_str()));
        node.unless("stop-grace", stop_grace, &Sandbox::STOP_GRACE, |time| duration(*time));
        self.own_labels(node, labels);
        self.mounts(node, name, (mounts, *memory))?;
        self.ports(node, ports);
        self.connect(node, connect);
        self.network(node, name, (network, secrets))?;
        self.depends_on(node, depends_on);
        self.ready(node, (name, *kind), ready);
        self.health(node, health.as_ref());
        self.restart(node, (restart, &Restart::of(*kind)));
        self.success_codes(node, success_codes);
        node.some("idle-timeout", idle_timeout.as_ref(), |time| duration(*time));
        node.some("max-duration", max_duration.as_ref(), |time| duration(*time));
        self.metrics(node, metrics);
        Ok(())
    }

    fn root(
        &self,
        node: &mut Node,
        name: &SandboxName,
        (root, upper): (&Root, Bytes),
    ) -> Result<(), Unwritable> {
        let (key, HostRoot { path, write }) = match root {
            Root::Image(Image { reference, pull, platform }) => {
                let mut own = Node::line(self.fields, "image");
                own.value(image(reference));
                own.unless("pull", pull, &Pull::default(), |pull| text(pull.as_str()));
                own.some("platform", platform.as_ref(), |one: &Platform| text(one.as_str()));
                node.add(own.done());
                node.unless("upper", &upper, &Sandbox::UPPER, |bytes| size(*bytes));
                return Ok(());
            }
            Root::Disk(root) => ("root-disk", root),
            Root::Dir(root) => ("root-dir", root),
        };
        let mut own = Node::line(self.fields, key);
        own.value(self.path(&format!("sandbox {name}"), path)?);
        own.unless("write", write, &Write::default(), |write| text(write.as_str()));
        node.add(own.done());
        // Whatever is written elsewhere leaves no room to speak of.
        if *write == Write::Private {
            node.unless("upper", &upper, &Sandbox::UPPER, |bytes| size(*bytes));
        }
        Ok(())
    }

    fn resources(&self, node: &mut Node, (cpus, memory): (Cpus, Memory)) {
        let Cpus { count, max } = cpus;
        if node.says(&cpus, &Cpus { count: 1, max: 1 }) {
            let mut own = Node::line(self.fields, "cpus");
            own.value(number(u64::from(count)));
            own.unless("max", &max, &count, |max| number(u64::from(*max)));
            node.add(own.done());
        }
        let Memory { size: bytes, max } = memory;
        if node.says(&memory, &Memory { size: Sandbox::MEMORY, max: Sandbox::MEMORY }) {
            let mut own = Node::line(self.fields, "memory");
            own.value(size(bytes));
            own.unless("max", &max, &bytes, |max| size(*max));
            node.add(own.done());
        }
    }

    /// Those that are the project's are left to it.
    fn own_labels(&self, node: &mut Node, labels: &Labels) {
        let own = labels.iter().filter(|(key, value)| {
            self.fields == Fields::All || self.project.labels.get(*key) != Some(*value)
        });
        node.labels("labels", own);
    }

    fn restart(&self, node: &mut Node, (restart, usual): (&Restart, &Restart)) {
        let Restart { policy, max, window, delay, factor, cap, jitter, then } = restart;
        let mut own = Node::block(self.fields, "restart");
        if own.says(policy, &usual.policy) {
            own.value(text(policy.as_str()));
        }
        own.unless("max", max, &usual.max, |max| number(u64::from(*max)));
        own.unless("window", window, &usual.window, |time| duration(*time));
        own.unless("delay", delay, &usual.delay, |time| duration(*time));
        own.unless("factor", factor, &usual.factor, |factor| decimal(*factor));
        own.unless("cap", cap, &usual.cap, |time| duration(*time));
        own.unless("jitter", jitter, &usual.jitter, |jitter| decimal(*jitter));
        own.unless("then", then, &usual.then, |then: &AfterRestarts| text(then.as_str()));
        node.block_of(own);
    }

    fn metrics(&self, node: &mut Node, metrics: &Metrics) {
        let Metrics { enabled, interval, labels, exclude_labels, attributes } = metrics;
        let usual = Metrics::default();
        let mut own = Node::block(self.fields, "metrics");
        own.unless("enabled", enabled, &usual.enabled, |yes| boolean(*yes));
        own.unless("interval", interval, &usual.interval, |time| duration(*time));
        own.unless("labels", labels, &usual.labels, |yes| boolean(*yes));
        own.list("exclude-labels", exclude_labels.iter().map(|key| text(key)));
        own.labels("attributes", attributes.iter());
        node.block_of(own);
    }
}

/// Returns a line with several values.
pub(super) fn words(
    key: &'static str,
    words: &[String],
) -> crate::sandboxfile::tree::Entry<'static> {
    let mut items = words.iter().map(|word| text(word));
    match items.next() {
        None => line(key, crate::sandboxfile::tree::Scalar::null()),
        Some(first) => items.fold(line(key, first), crate::sandboxfile::tree::Entry::with),
    }
}
