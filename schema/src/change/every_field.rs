//! Every field of a sandbox, changed once: it is seen, and costs what the table of keys says.

use std::collections::BTreeSet;

use super::tests::everything;
use super::*;
use crate::project::network::{Authority, HostPattern, PortSet, Preset, Rule, RuleParts, Target};
use crate::project::{
    AfterRestarts, Connect, Cpus, DriverChoice, EnvValue, GuestPath, Health, HostPorts, Image,
    ImageRef, Limit, LogLevel, OnChange, OnUnhealthy, OnViolation, Placeholder, Probe,
    PublishedPort, Pull, RestartPolicy, Rlimit, Root, Sandbox, Secret, SecretPlace, SecretSource,
    Security, StopSignal, Thousandths, Transport, Until, UserRef, Write,
};
use crate::units::{Bytes, Millis, Rate};

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

fn rule(target: &str) -> Rule {
    Rule::new(RuleParts::allow(Target::parse(target).unwrap())).unwrap()
}

/// Fills in everything about the network and secrets.
pub(super) fn reach(sandbox: &mut Sandbox) {
    sandbox.ports.push(PublishedPort {
        protocol: Transport::Tcp,
        bind: PublishedPort::BIND,
        host: HostPorts::parse("8080").unwrap(),
        guest: "80".to_owned().try_into().unwrap(),
    });
    let connect = Connect { ports: PortSet::any(), alias: "db".parse().unwrap() };
    sandbox.connect.insert("db".parse().unwrap(), connect);
    let network = &mut sandbox.network;
    network.rules.push(rule("a.example"));
    network.dns.servers.push("1.1.1.1:53".parse().unwrap());
    network.limits.egress = Some(Rate(1));
    network.limits.ingress = Some(Rate(1));
    network.tls.bypass.push(host("a.example"));
    network.tls.upstream_ca.push("/a.pem".into());
    network.tls.authority = Some(Authority { cert: "/a.pem".into(), key: "/a.key".into() });
    let mut secret = Secret::new(SecretSource::Env("A".into()), vec![host("a.example")]);
    secret.placeholder = Placeholder::parse("sk-00000000").ok();
    secret.passthrough_hosts.push(host("b.example"));
    sandbox.secrets.insert("s".parse().unwrap(), secret);
}

/// A field, what its change costs while a workload runs, and the change.
type Edit = (&'static str, Class, fn(&mut Sandbox));

const EDITS: &[Edit] = &[
    ("kind", Class::Recreate, |s| s.kind = Kind::Job),
    ("image", Class::Recreate, |s| image(s).reference = ImageRef::parse("redis:8").unwrap()),
    ("image.pull", Class::None, |s| image(s).pull = Pull::Never),
    ("image.platform", Class::Recreate, |s| image(s).platform = None),
    ("root-disk", Class::Recreate, |s| host_root(s).path = "/srv/other".into()),
    ("root-dir", Class::Recreate, |s| host_root(s).path = "/srv/other".into()),
    ("root.write", Class::Recreate, |s| host_root(s).write = Write::None),
    ("upper", Class::Restart, |s| s.upper = Bytes::gib(8)),
    ("cpus.count", Class::Live, |s| s.cpus = Cpus { count: 2, ..s.cpus }),
    ("cpus.max", Class::Restart, |s| s.cpus.max = 2),
    ("memory.size", Class::Live, |s| s.memory.size = Bytes::gib(1)),
    ("memory.max", Class::Restart, |s| s.memory.max = Bytes::gib(1)),
    ("driver", Class::Restart, |s| s.driver = DriverChoice::Qemu),
    ("security", Class::Restart, |s| s.security = Security::Restricted),
    ("log-level", Class::Live, |s| s.log_level = Some(LogLevel::Debug)),
    ("command", Class::Restart, |s| s.command = words("sh")),
    ("entrypoint", Class::Restart, |s| s.entrypoint = words("sh")),
    ("workdir", Class::Restart, |s| s.workdir = GuestPath::parse("/tmp").ok()),
    ("user", Class::Restart, |s| s.user = UserRef::parse("root")),
    ("hostname", Class::Restart, |s| s.hostname = Some("web".into())),
    ("shell", Class::Exec, |s| s.shell = GuestPath::parse("/bin/bash").unwrap()),
    ("env.PORT", Class::Restart, |s| {
        s.env.insert("PORT".parse().unwrap(), EnvValue::Secret("s".parse().unwrap()));
    }),
    ("env-file", Class::Restart, |s| s.env_files.push("/srv/more.env".into())),
    ("rlimits.nofile", Class::Restart, |s| {
        let limit = Rlimit { soft: Limit::Count(20), hard: Limit::Unlimited };
        s.rlimits.insert("nofile".into(), limit);
    }),
    ("stop-signal", Class::Live, |s| s.stop_signal = StopSignal::parse("INT")),
    ("stop-grace", Class::Live, |s| s.stop_grace = Millis(1)),
    ("labels.team", Class::Meta, |s| s.labels.clear()),
    ("mounts./tmp/a.b", Class::Restart, |s| {
        s.mounts[0].source = crate::project::MountSource::Named("v".parse().unwrap());
    }),
    ("mounts./tmp/a.b.options", Class::Restart, |s| {
        s.mounts[0].options.access = crate::project::Access::ReadOnly;
    }),
    ("ports.8080/tcp", Class::Live, |s| s.ports[0].guest = "81".to_owned().try_into().unwrap()),
    ("connect.db.ports", Class::Live, |s| connect(s).ports = PortSet::parse("80").unwrap()),
    ("connect.db.as", Class::Live, |s| connect(s).alias = "pg".parse().unwrap()),
    ("network.preset", Class::Live, |s| s.network.preset = Preset::Open),
    ("network.rules.0", Class::Live, |s| s.network.rules[0] = rule("b.example")),
    ("network.dns.servers", Class::Live, |s| s.network.dns.servers.clear()),
    ("network.dns.rebind-protection", Class::Live, |s| s.network.dns.rebind_protection = false),
    ("network.dns.timeout", Class::Live, |s| s.network.dns.timeout = Millis(1)),
    ("network.limits.egress", Class::Live, |s| s.network.limits.egress = None),
    ("network.limits.ingress", Class::Live, |s| s.network.limits.ingress = Some(Rate(2))),
    ("network.limits.max-connections", Class::Live, |s| s.network.limits.max_connections = 1),
    ("network.tls.intercept", Class::Restart, |s| s.network.tls.intercept = true),
    ("network.tls.ports", Class::Live, |s| s.network.tls.ports.push(8443)),
    ("network.tls.bypass", Class::Live, |s| s.network.tls.bypass.clear()),
    ("network.tls.upstream-ca", Class::Live, |s| s.network.tls.upstream_ca.clear()),
    ("network.tls.ca-cert", Class::Restart, |s| authority(s).cert = "/b.pem".into()),
    ("network.tls.ca-key", Class::Restart, |s| authority(s).key = "/b.key".into()),
    ("network.tls.trust-host-cas", Class::Restart, |s| s.network.tls.trust_host_cas = true),
    ("network.tls.block-quic", Class::Live, |s| s.network.tls.block_quic = false),
    ("secrets.s.source", Class::Live, |s| secret(s).source = SecretSource::Env("B".into())),
    ("secrets.s.hosts", Class::Live, |s| secret(s).hosts.push(host("c.example"))),
    ("secrets.s.in", Class::Live, |s| secret(s).places = vec![SecretPlace::Body]),
    ("secrets.s.placeholder", Class::Restart, |s| secret(s).placeholder = None),
    ("secrets.s.on-violation", Class::Live, |s| secret(s).on_violation = OnViolation::Block),
    ("secrets.s.passthrough-hosts", Class::Live, |s| secret(s).passthrough_hosts.clear()),
    ("secrets.s.require-tls", Class::Live, |s| secret(s).require_tls = false),
    ("depends-on.db.until", Class::Meta, |s| dependency(s).until = Until::Started),
    ("depends-on.db.optional", Class::Meta, |s| dependency(s).optional = true),
    ("depends-on.db.on-change", Class::Meta, |s| dependency(s).on_change = OnChange::Restart),
    ("ready.probe", Class::Live, |s| s.ready.probe = Probe::Exec(vec!["true".into()])),
    ("ready.timeout", Class::Live, |s| s.ready.timeout = Millis(1)),
    ("health.probe", Class::Live, |s| health(s).probe = Probe::Tcp(81)),
    ("health.interval", Class::Live, |s| health(s).interval = Millis(1)),
    ("health.timeout", Class::Live, |s| health(s).timeout = Millis(1)),
    ("health.failures", Class::Live, |s| health(s).failures = 9),
    ("health.successes", Class::Live, |s| health(s).successes = 9),
    ("health.on-unhealthy", Class::Live, |s| health(s).on_unhealthy = OnUnhealthy::Restart),
    ("restart.policy", Class::Live, |s| s.restart.policy = RestartPolicy::Always),
    ("restart.max", Class::Live, |s| s.restart.max = 9),
    ("restart.window", Class::Live, |s| s.restart.window = Millis(1)),
    ("restart.delay", Class::Live, |s| s.restart.delay = Millis(1)),
    ("restart.factor", Class::Live, |s| s.restart.factor = Thousandths(1)),
    ("restart.cap", Class::Live, |s| s.restart.cap = Millis(1)),
    ("restart.jitter", Class::Live, |s| s.restart.jitter = Thousandths(1)),
    ("restart.then", Class::Live, |s| s.restart.then = AfterRestarts::Recreate),
    ("success-codes", Class::Live, |s| _ = s.success_codes.insert(3)),
    ("idle-timeout", Class::Live, |s| s.idle_timeout = None),
    ("max-duration", Class::Live, |s| s.max_duration = None),
    ("lifecycle.protect", Class::Meta, |s| s.lifecycle.protect = true),
    ("lifecycle.keep", Class::Meta, |s| s.lifecycle.keep = true),
    ("metrics.enabled", Class::Live, |s| s.metrics.enabled = false),
    ("metrics.interval", Class::Live, |s| s.metrics.interval = Millis(1)),
    ("metrics.labels", Class::Live, |s| s.metrics.labels = false),
    ("metrics.exclude-labels", Class::Live, |s| s.metrics.exclude_labels.clear()),
    ("metrics.attributes.env", Class::Live, |s| s.metrics.attributes.clear()),
];

fn image(sandbox: &mut Sandbox) -> &mut Image {
    match &mut sandbox.root {
        Root::Image(image) => image,
        Root::Disk(_) | Root::Dir(_) => panic!("the field is in a root that is an image"),
    }
}

fn host_root(sandbox: &mut Sandbox) -> &mut crate::project::HostRoot {
    match &mut sandbox.root {
        Root::Disk(root) | Root::Dir(root) => root,
        Root::Image(_) => panic!("the field is in a root that lies on the host"),
    }
}

fn health(sandbox: &mut Sandbox) -> &mut Health {
    sandbox.health.as_mut().unwrap()
}

fn words(word: &str) -> crate::project::ArgumentList {
    crate::project::ArgumentList::Words(vec![word.into()])
}

fn connect(sandbox: &mut Sandbox) -> &mut Connect {
    sandbox.connect.values_mut().next().unwrap()
}

fn authority(sandbox: &mut Sandbox) -> &mut Authority {
    sandbox.network.tls.authority.as_mut().unwrap()
}

fn secret(sandbox: &mut Sandbox) -> &mut Secret {
    sandbox.secrets.values_mut().next().unwrap()
}

fn dependency(sandbox: &mut Sandbox) -> &mut crate::project::Dependency {
    sandbox.depends_on.values_mut().next().unwrap()
}

/// Returns one of the sandboxes that have the field.
fn with(path: &str) -> Sandbox {
    let has = |sandbox: &Sandbox| sandbox.fields().iter().any(|(field, _)| field == path);
    everything().into_iter().find(has).unwrap()
}

/// Returns every field, with a sandbox before and after a change of it alone.
pub(crate) fn edited() -> impl Iterator<Item = (&'static str, Sandbox, Sandbox)> {
    EDITS.iter().map(|(path, _, edit)| {
        let before = with(path);
        let mut after = before.clone();
        edit(&mut after);
        (*path, before, after)
    })
}

#[test]
fn sf_p6_every_field_is_compared_and_costs_what_its_row_says() {
    for (path, class, edit) in EDITS {
        let before = with(path);
        let mut after = before.clone();
        edit(&mut after);
        let changes = before.differing(&after);
        let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, [*path]);
        let found = sandbox_class(&changes[0], Kind::Service, Workload::Present);
        assert_eq!(found, *class, "{path}");
    }
}

#[test]
fn sf_p6_no_field_is_left_out_of_this_test() {
    let edited: BTreeSet<String> = EDITS.iter().map(|(path, ..)| (*path).to_owned()).collect();
    let fields = everything().into_iter().flat_map(|sandbox| sandbox.fields());
    let fields: BTreeSet<String> = fields.map(|(path, _)| path).collect();
    assert_eq!(fields, edited);
}

#[test]
fn sf_3_6_a_preset_costs_a_restart_only_where_the_device_comes_or_goes() {
    let class = |before: Preset, after: Preset| {
        let with = |preset| {
            let [mut sandbox, ..] = everything();
            sandbox.network.preset = preset;
            sandbox
        };
        let changes = with(before).differing(&with(after));
        sandbox_class(&changes[0], Kind::Service, Workload::Present)
    };
    assert_eq!(class(Preset::None, Preset::Off), Class::Restart);
    assert_eq!(class(Preset::Off, Preset::Open), Class::Restart);
    assert_eq!(class(Preset::None, Preset::Open), Class::Live);
}

fn changes(before: &Sandbox, after: &Sandbox) -> Vec<String> {
    let told = |c: &FieldChange| {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        format!("{}: {} → {} {}", c.path, side(&c.before), side(&c.after), c.sensitive)
    };
    before.differing(after).iter().map(told).collect()
}

#[test]
fn sf_p12_a_secret_shows_its_reference_alone() {
    let [before, ..] = everything();
    let mut after = before.clone();
    after.env.insert("PORT".parse().unwrap(), EnvValue::Secret("s".parse().unwrap()));
    secret(&mut after).source = SecretSource::File("/home/ana/key".into());
    let expected =
        ["env.PORT: \"80\" → secret:s true", "secrets.s.source: env:A → file:/home/ana/key true"];
    assert_eq!(changes(&before, &after), expected);
}

#[test]
fn what_comes_or_goes_as_a_whole_is_one_field() {
    let [before, ..] = everything();
    let mut after = before.clone();
    after.connect.clear();
    after.secrets.clear();
    after.ports.clear();
    after.network.rules.push(rule("10.0.0.0/8"));
    let expected = [
        "connect.db: any as db → - false",
        "network.rules.1: - → allow 10.0.0.0/8 false",
        "ports.8080/tcp: 80 → - false",
        "secrets.s: env:A for a.example → - true",
    ];
    assert_eq!(changes(&before, &after), expected);
}
