//! Networks, from text to project or problems.

use super::*;
use crate::project::network::{PortSet, Preset};
use crate::project::{Project, Sandbox};
use crate::sandboxfile::source::Format;

/// Reads one file by its name.
pub(super) fn read(name: &str, text: &str) -> Result<Resolved, Box<Failed>> {
    let format = Format::of(std::path::Path::new(name)).unwrap();
    let file = SourceFile { path: name.into(), bytes: text.as_bytes().to_vec(), format };
    let (folder, home) = ("/home/ana/acme".into(), "/home/ana".into());
    resolve(&[file], &ResolveInputs { folder, home, ..ResolveInputs::default() })
}

pub(super) fn project(text: &str) -> Project {
    match read("f.kdl", text) {
        Ok(resolved) => resolved.project,
        Err(failed) => panic!("{}", failed.plain()),
    }
}

pub(super) fn problems(text: &str) -> String {
    match read("f.kdl", text) {
        Ok(resolved) => panic!("{:?}", resolved.project),
        Err(failed) => failed.plain(),
    }
}

/// Returns the codes of what is worth a word.
pub(super) fn warnings(text: &str) -> Vec<&'static str> {
    match read("f.kdl", text) {
        Ok(found) => found.warnings.iter().map(|problem| problem.code.as_str()).collect(),
        Err(failed) => panic!("{}", failed.plain()),
    }
}

pub(super) fn sandbox(text: &str, name: &str) -> Sandbox {
    Sandbox::clone(&project(text).sandboxes[&InstanceName::parse(name).unwrap()])
}

/// Checks that a line in a sandbox gives exactly one problem, by code and part of its text.
pub(super) fn check_line(line: &str, code: &str, part: &str) {
    let text = format!(
        "sandbox \"a\" {{ image \"x:1\"\n {line}\n}}\nsandbox \"db\" {{ image \"x:1\" }}\n\
         secret \"s\" {{ from-env \"S\"; hosts \"api.acme.example\" }}\n"
    );
    check(&text, code, part);
}

/// Checks that a file gives exactly one problem, by code and part of its text.
pub(super) fn check(text: &str, code: &str, part: &str) {
    let found = problems(text);
    let count = found.lines().filter(|line| line.contains(": error[")).count();
    assert_eq!(count, 1, "{text}\n{found}");
    assert!(found.contains(&format!("[msb::{code}]")), "{text}\n{found}");
    assert!(found.contains(part), "{text}\n{found}");
}

const KDL: &str = r#"
sandbox "a" {
    image "x:1"
    network {
        preset "none"
        rules {
            deny "10.0.0.0/8"
            allow "*.PyPI.example" ports=443
            allow "api.acme.example" protocol="tcp" ports="8443,443"
            allow "any" protocol="icmp"
            deny "private" direction="ingress" protocol="tcp" ports=22
        }
        dns { servers "1.1.1.1" "[2606:4700::1111]:53"; timeout "2s"; rebind-protection #false }
        limits { egress "10MiB/s"; max-connections 256 }
        tls {
            intercept #true; ports 443 8443; bypass "*.bank.example"; upstream-ca "./ca.pem"
            ca-cert "tls/ca.pem"; ca-key "/etc/ca.key"; trust-host-cas #true; block-quic #false
        }
    }
}
"#;

const YAML: &str = r#"
sandboxes:
  a:
    image: x:1
    network:
      preset: none
      rules:
        - deny: 10.0.0.0/8
        - {allow: "*.PyPI.example", ports: 443}
        - {allow: api.acme.example, protocol: tcp, ports: "8443,443"}
        - {allow: any, protocol: icmp}
        - {deny: private, direction: ingress, protocol: tcp, ports: 22}
      dns: {servers: [1.1.1.1, "[2606:4700::1111]:53"], timeout: 2s, rebind-protection: false}
      limits: {egress: 10MiB/s, max-connections: 256}
      tls:
        intercept: true
        ports: [443, 8443]
        bypass: "*.bank.example"
        upstream-ca: ./ca.pem
        ca-cert: tls/ca.pem
        ca-key: /etc/ca.key
        trust-host-cas: true
        block-quic: false
"#;

#[test]
fn sf_3_6_every_key_of_a_network_arrives_in_its_type() {
    let a = sandbox(KDL, "a");
    let fields: Vec<String> = a
        .fields()
        .into_iter()
        .filter(|(path, _)| path.starts_with("network."))
        .map(|(path, value)| format!("{}={value}", path.trim_start_matches("network.")))
        .collect();
    let expected = [
        "dns.rebind-protection=false",
        "dns.servers=1.1.1.1:53 [2606:4700::1111]:53",
        "dns.timeout=2s",
        "limits.egress=10 MiB/s",
        "limits.max-connections=256",
        "preset=none",
        "rules.0=deny 10.0.0.0/8",
        "rules.1=allow *.pypi.example tcp+udp/443",
        "rules.2=allow api.acme.example tcp/443,8443",
        "rules.3=allow any icmp",
        "rules.4=deny ingress private tcp/22",
        "tls.block-quic=false",
        "tls.bypass=*.bank.example",
        "tls.ca-cert=/home/ana/acme/tls/ca.pem",
        "tls.ca-key=/etc/ca.key",
        "tls.intercept=true",
        "tls.ports=443 8443",
        "tls.trust-host-cas=true",
        "tls.upstream-ca=/home/ana/acme/ca.pem",
    ];
    assert_eq!(fields, expected);
    let yaml = read("f.yaml", YAML).unwrap_or_else(|failed| panic!("{}", failed.plain()));
    assert_eq!(yaml.project, project(KDL));
}

#[test]
fn every_key_of_a_network_knows_its_place() {
    let found = read("f.kdl", KDL).unwrap();
    let place = |path: &str| {
        let path = format!("network.{path}");
        found
            .origins
            .nearest("sandbox.a", &path)
            .map(|place| format!("{}:{}", place.line, place.column))
    };
    assert_eq!(place("preset").as_deref(), Some("5:9"));
    assert_eq!(place("rules.1").as_deref(), Some("8:13"));
    assert_eq!(place("dns.timeout").as_deref(), Some("13:57"));
    assert_eq!(place("tls.ca-key").as_deref(), Some("17:35"));
    assert_eq!(place("limits.ingress").as_deref(), Some("4:5"), "not written: what encloses it");
}

#[test]
fn sf_m6_the_network_at_the_top_lies_below_every_sandbox_s() {
    let top = "network { preset \"none\"; rules { allow \"a.example\" }; limits { egress \"1MiB/s\"; \
               max-connections 9 } }\n";
    let rules = |sandbox: &Sandbox| -> Vec<String> {
        sandbox.network.rules.iter().map(ToString::to_string).collect()
    };
    let plain = sandbox(&format!("{top}sandbox \"a\" {{ image \"x:1\" }}"), "a");
    assert_eq!(
        (plain.network.preset, rules(&plain)),
        (Preset::None, vec!["allow a.example".into()])
    );
    let own = "sandbox \"a\" { image \"x:1\"; network { rules { allow \"b.example\" }; \
               limits { ingress \"2MiB/s\" } } }\njob \"j\" { image \"x:1\"; command \"x\" }";
    let found = project(&format!("{top}{own}"));
    let get = |name: &str| &found.sandboxes[&InstanceName::parse(name).unwrap()];
    assert_eq!(rules(get("a")), ["allow b.example"], "rules replace");
    let limits = get("a").network.limits;
    assert_eq!((limits.max_connections, limits.egress.map(|rate| rate.0)), (9, Some(1 << 20)));
    assert_eq!(rules(get("j")), ["allow a.example"]);
    let template = "template \"t\" { network { preset \"private\" } }\n\
                    sandbox \"a\" { from \"t\"; image \"x:1\" }";
    let over = sandbox(&format!("{top}{template}"), "a");
    assert_eq!((over.network.preset, over.network.rules.len()), (Preset::Private, 1));
}

#[test]
fn a_mistake_in_a_network_is_one_problem() {
    for (line, code, part) in [
        ("preset \"publik\"", "value::choice", "public"),
        ("rules { alow \"any\" }", "schema::unknown-key", "did you mean|allow, deny"),
        ("rules { allow }", "schema::shape", "allow \"TARGET\""),
        ("rules { allow \"any\" ports=0 }", "value::port", "1 to 65535"),
        ("rules { allow \"any\" ports=\"443, 80\" }", "value::port", "write \"443,80\""),
        ("rules { allow \"any\" ports=\"90-80\" }", "value::port", "write \"80-90\""),
        ("rules { allow \"any\" protocol=\"sctp\" }", "value::choice", "any, tcp, udp, icmp"),
        ("rules { allow \"any\" protocol=\"icmp\" ports=80 }", "schema::conflict", "no ports"),
        (
            "rules { allow \"any\" protocol=\"icmp\" direction=\"ingress\" }",
            "schema::conflict",
            "nothing reaches a machine by it",
        ),
        (
            "rules { allow \"a.example\" direction=\"ingress\" }",
            "schema::conflict",
            "a name does not",
        ),
        ("dns { servers \"dns.example\" }", "value::cidr", "such as \"1.1.1.1\""),
        ("dns { timeout \"0s\" }", "value::range", "1ms or more"),
        ("limits { egress \"10MiB\" }", "value::rate", "write \"10MiB/s\""),
        ("limits { egress \"10/s\" }", "value::rate", "\"10MiB/s\""),
        ("limits { egress \"0B/s\" }", "value::range", "leave it out"),
        ("limits { max-connections 0 }", "value::range", "between 1 and 65535"),
        ("tls { ports \"443-445\" }", "value::port", "one by one"),
        ("tls { ports \"https\" }", "value::port", "not a port"),
        ("tls { bypass \"*\" }", "value::host-pattern", "two labels or more"),
        ("tls { ca-cert \"a.pem\" }", "schema::missing-key", "`ca-key`"),
        ("tls { ca-key \"a.key\" }", "schema::missing-key", "`ca-cert`"),
        ("tls { intercept yes }", "value::boolean", "#true"),
    ] {
        let parts: Vec<&str> = part.split('|').collect();
        check_line(&format!("network {{ {line} }}"), code, parts[parts.len() - 1]);
        // At the top too, where nobody may take it over.
        check(&format!("network {{ {line} }}"), code, parts[parts.len() - 1]);
    }
}

#[test]
fn sf_n1_what_is_no_target_says_what_to_write() {
    for (target, code, part) in [
        ("pubilc", "value::host-pattern", "write \"public\""),
        ("localhost", "value::host-pattern", "write \"host\""),
        ("*", "value::host-pattern", "write \"any\""),
        ("db", "value::host-pattern", "`connect`"),
        ("host:443", "value::host-pattern", "write ports=443: allow \"host\" ports=443"),
        ("a.example:443", "value::host-pattern", "write ports=443: allow \"a.example\" ports=443"),
        ("https://a.example/x", "value::host-pattern", "write \"a.example\""),
        ("a.example.", "value::host-pattern", "write \"a.example\""),
        ("*.com", "value::host-pattern", "two labels or more"),
        ("10.0.0.5/8", "value::cidr", "write \"10.0.0.0/8\""),
        ("10.0.0.0/33", "value::cidr", "0 to 32 bits"),
        ("10.0.0.256", "value::cidr", "such as \"10.0.0.0/8\""),
        ("2002:a00:1::1", "value::cidr", "wraps IPv4"),
    ] {
        check_line(&format!("network {{ rules {{ allow \"{target}\" }} }}"), code, part);
    }
    let yaml = "sandboxes: {a: {image: 'x:1', network: {rules: [{deny: 'host:443'}]}}}";
    let found = read("f.yaml", yaml).unwrap_err().plain();
    assert!(found.contains("write ports=443: {deny: \"host\", ports: 443}"), "{found}");
}

#[test]
fn sf_d6_what_a_variable_holds_is_not_shown_in_a_target() {
    let text = "var \"T\" default=\"s3cret:443\"\nsandbox \"a\" { image \"x:1\"\n\
                network { rules { allow \"${T}\" ports=\"${T}\" } } }";
    let found = problems(text);
    assert!(found.contains("`${T}`") && !found.contains("s3cret"), "{found}");
}

#[test]
fn sf_3_6_there_are_at_most_1024_rules() {
    let rules = |count: usize| {
        let rules = "allow \"a.example\"; ".repeat(count);
        format!("sandbox \"a\" {{ image \"x:1\"\nnetwork {{ rules {{ {rules} }} }} }}")
    };
    assert_eq!(sandbox(&rules(1024), "a").network.rules.len(), 1024);
    check(&rules(1025), "value::range", "more than 1024 rules");
}

#[test]
fn sf_n2_without_a_network_there_is_nothing_for_its_keys() {
    let line = |line: &str| format!("network {{ preset \"off\"{line} }}");
    for (line, key) in [
        ("port guest=80; network { preset \"off\" }".to_owned(), "`port`"),
        ("connect \"db\" ports=80; network { preset \"off\" }".to_owned(), "`connect`"),
        ("env { A secret=\"s\" }; network { preset \"off\" }".to_owned(), "`secret`"),
        (line("; rules { allow \"any\" }"), "`rules`"),
        (line("; dns { timeout \"1s\" }"), "`dns`"),
        (line("; limits { egress \"1MiB/s\" }"), "`limits`"),
        (line("; tls { block-quic #false }"), "`tls`"),
    ] {
        check_line(&line, "rule::network-off", key);
    }
    let found =
        problems("sandbox \"a\" {\n image \"x:1\"\n port guest=80\n network { preset \"off\" }\n}");
    let expected = "\
f.kdl:3:2: error[msb::rule::network-off]: `port` needs a network, and this sandbox has none
  4:12: the preset is here
  help: write another preset, such as \"none\", or leave `port` out
error: f.kdl: 1 problem
";
    assert_eq!(found, expected);
}

#[test]
fn sf_n2_defaults_are_not_for_a_sandbox_without_a_network() {
    let text = "network { preset \"none\"; rules { allow \"a.example\" }; tls { block-quic #false } }\n\
                sandbox \"a\" { image \"x:1\"; network { preset \"off\" } }";
    let a = sandbox(text, "a");
    assert_eq!((a.network.preset, a.network.rules.len()), (Preset::Off, 0));
    let text = "network { preset \"off\" }\n\
                sandbox \"a\" { image \"x:1\"; network { rules { allow \"a.example\" } } }";
    check(text, "rule::network-off", "`rules`");
}

#[test]
fn a_network_that_could_not_be_read_says_nothing_more() {
    let found = problems(
        "secret \"s\" { from-env \"S\"; hosts \"a.example\" }\n\
         network { preset \"nune\"; rules { allow \"b.example\" } }\n\
         sandbox \"a\" { image \"x:1\"; port guest=80; env { A secret=\"s\" } }",
    );
    assert!(found.contains("f.kdl: 1 problem\n") && !found.contains("warning"), "{found}");
    let found = problems(
        "secret \"s\" { from-env \"S\"; hosts \"a.example\" }\n\
         network { preset \"none\"; rules { allow \"a.exmple:443\" } }\n\
         sandbox \"a\" { image \"x:1\"; env { A secret=\"s\" } }",
    );
    assert!(found.contains("f.kdl: 1 problem\n") && !found.contains("warning"), "{found}");
}

#[test]
fn sf_r5_what_differs_between_instances_reaches_the_rules() {
    let text = "sandbox \"a\" { image \"x:1\"; replicas 2\n\
                network { rules { allow \"db-${replica.index}.acme.example\" ports=\"5432\" } } }";
    let found = project(text);
    let rules: Vec<String> =
        found.sandboxes.values().map(|body| body.network.rules[0].to_string()).collect();
    let expected = ["allow db-0.acme.example tcp+udp/5432", "allow db-1.acme.example tcp+udp/5432"];
    assert_eq!(rules, expected);
    assert_eq!(
        found.sandboxes.values().next().unwrap().network.rules[0].ports(),
        &PortSet::parse("5432").unwrap()
    );
}
