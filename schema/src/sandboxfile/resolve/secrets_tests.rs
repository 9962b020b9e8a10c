//! Secrets, from text to project or problems.

use super::network_tests::{check, problems, project, read, sandbox, warnings};
use super::*;

const SECRET: &str = "secret \"s\" { from-env \"S\"; hosts \"api.acme.example\" }\n";

#[test]
fn sf_3_2_every_key_of_a_secret_arrives_in_its_type() {
    let text = "secret \"stripe\" { from-env \"STRIPE_KEY\"; hosts \"api.stripe.example\" \"*.B.example\"\n\
                in \"header\" \"query\"; placeholder \"sk-000000000000\"\n\
                on-violation \"block-and-terminate\"; passthrough-hosts \"log.example\"; require-tls #false }\n\
                secret \"gh\" { from-file \"~/gh.token\"; hosts \"api.github.example\" }\n\
                sandbox \"a\" { image \"x:1\"; env { KEY secret=\"stripe\" } }";
    let found = project(text);
    let names: Vec<&str> = found.secrets.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["gh", "stripe"]);
    let a = sandbox(text, "a");
    let fields: Vec<String> = a
        .fields()
        .into_iter()
        .filter(|(path, _)| path.starts_with("secrets.") || path.starts_with("env."))
        .map(|(path, value)| format!("{path}={value}"))
        .collect();
    let expected = [
        "env.KEY=secret:stripe",
        "secrets.stripe.hosts=api.stripe.example *.b.example",
        "secrets.stripe.in=header query",
        "secrets.stripe.on-violation=block-and-terminate",
        "secrets.stripe.passthrough-hosts=log.example",
        "secrets.stripe.placeholder=\"sk-000000000000\"",
        "secrets.stripe.require-tls=false",
        "secrets.stripe.source=env:STRIPE_KEY",
    ];
    assert_eq!(fields, expected);
    let gh = &found.secrets["gh"];
    assert_eq!(gh.source.to_string(), "file:/home/ana/gh.token");
    assert!(gh.require_tls && gh.placeholder.is_none());
    let yaml = "secrets:\n  stripe: {from-env: STRIPE_KEY, hosts: [api.stripe.example, '*.B.example'], \
                in: [header, query], placeholder: sk-000000000000, on-violation: block-and-terminate, \
                passthrough-hosts: log.example, require-tls: false}\n  \
                gh: {from-file: ~/gh.token, hosts: api.github.example}\n\
                sandboxes: {a: {image: 'x:1', env: {KEY: {secret: stripe}}}}";
    assert_eq!(read("f.yaml", yaml).unwrap().project, found);
}

#[test]
fn a_secret_knows_its_place_at_those_who_use_it() {
    let text = format!("{SECRET}sandbox \"a\" {{ image \"x:1\"\nenv {{ KEY secret=\"s\" }} }}");
    let found = read("f.kdl", &text).unwrap();
    let place = |address: &str, path: &str| {
        found.origins.nearest(address, path).map(|place| (place.line, place.column))
    };
    assert_eq!(place("sandbox.a", "secrets.s"), Some((1, 8)));
    assert_eq!(place("sandbox.a", "secrets.s.hosts"), Some((1, 28)));
    assert_eq!(place("secret.s", "source"), Some((1, 14)));
}

#[test]
fn a_mistake_in_a_secret_is_one_problem() {
    let hosts = "hosts \"a.example\"";
    for (body, code, part) in [
        ("hosts \"a.example\"".to_owned(), "schema::missing-key", "no source"),
        (format!("from-env \"S\"; from-file \"x\"; {hosts}"), "schema::conflict", "two sources"),
        (format!("from-env \"A B\"; {hosts}"), "value::env-key", "not the name of a variable"),
        ("from-env \"S\"".to_owned(), "schema::missing-key", "no hosts"),
        ("from-env \"S\"; hosts \"localhost\"".to_owned(), "value::host-pattern", "one label"),
        ("from-env \"S\"; hosts \"10.0.0.1\"".to_owned(), "value::host-pattern", "is an address"),
        (
            "from-env \"S\"; hosts \"https://a.example\"".to_owned(),
            "value::host-pattern",
            "write \"a.example\"",
        ),
        (format!("from-env \"S\"; {hosts}; in \"cookie\""), "value::choice", "header, basic-auth"),
        (
            format!("from-env \"S\"; {hosts}; in \"query\" \"query\""),
            "schema::duplicate-key",
            "twice",
        ),
        (format!("from-env \"S\"; {hosts}; placeholder \"short\""), "value::range", "8 to 1024"),
        (
            format!("from-env \"S\"; {hosts}; placeholder \"ßßßßßßßß\""),
            "value::type",
            "printable ASCII",
        ),
        (
            format!("from-env \"S\"; {hosts}; on-violation \"kill\""),
            "value::choice",
            "block-and-log",
        ),
        (
            format!("from-env \"S\"; {hosts}; passthrough-hosts \"*.a.example\""),
            "schema::conflict",
            "would get the placeholder",
        ),
    ] {
        let text = format!(
            "secret \"s\" {{ {body} }}\nsandbox \"a\" {{ image \"x:1\"; env {{ KEY secret=\"s\" }} }}"
        );
        check(&text, code, part);
    }
    let many: String = (0..65).map(|number| format!(" \"h{number}.example\"")).collect();
    check(&format!("secret \"s\" {{ from-env \"S\"; hosts{many} }}"), "value::range", "1 and 64");
    let yaml = read("f.yaml", "secrets: {s: {from-env: S, hosts: []}}").unwrap_err().plain();
    assert!(yaml.contains("between 1 and 64 hosts"), "{yaml}");
}

#[test]
fn sf_3_2_there_are_at_most_256_secrets() {
    let each =
        |number: usize| format!("secret \"s{number}\" {{ from-env \"S\"; hosts \"a.example\" }}\n");
    let all = |count: usize| (0..count).map(each).collect::<String>();
    assert_eq!(project(&all(256)).secrets.len(), 256);
    check(&all(257), "value::range", "more than 256 secrets");
}

#[test]
fn sf_3_2_a_placeholder_is_unique_in_the_project() {
    let two = |one: &str, other: &str| {
        format!(
            "secret \"a\" {{ from-env \"A\"; hosts \"a.example\"; placeholder \"{one}\" }}\n\
             secret \"b\" {{ from-env \"B\"; hosts \"b.example\"; placeholder \"{other}\" }}"
        )
    };
    check(&two("sk-00000000", "sk-00000000"), "schema::conflict", "of `a` and `b` hold each other");
    check(&two("sk-00000000", "sk-000000001"), "schema::conflict", "hold each other");
    assert_eq!(project(&two("sk-00000000", "sk-00000001")).secrets.len(), 2);
}

#[test]
fn a_secret_that_is_not_there_is_named_with_its_nearest() {
    let text = "sandbox \"a\" { image \"x:1\"; env { KEY secret=\"strip\" } }";
    let define =
        "define it: secret \"strip\" { from-env \"VARIABLE\"; hosts \"api.acme.example\" }";
    check(text, "ref::unknown", define);
    let near = format!("secret \"stripe\" {{ from-env \"S\"; hosts \"a.example\" }}\n{text}");
    check(&near, "ref::unknown", "write \"stripe\"");
    check("sandbox \"a\" { image \"x:1\"; env { KEY secret=\"A B\" } }", "value::name", "\"a-b\"");
}

#[test]
fn sf_3_6_a_secret_in_use_opens_tls() {
    let a = |extra: &str| {
        let text = format!("{SECRET}sandbox \"a\" {{ image \"x:1\"\n{extra}\n}}");
        sandbox(&text, "a").network.tls.intercept
    };
    assert!(!a(""));
    assert!(a("env { KEY secret=\"s\" }"));
    assert!(a("network { tls { intercept #true } }"));
    assert!(!a("network { tls { intercept #false } }"));
}

#[test]
fn sf_n5_a_secret_needs_tls_to_be_opened() {
    let text = |secret: &str, tls: &str| {
        format!(
            "secret \"s\" {{ from-env \"S\"; hosts \"a.example\" \"b.example\"{secret} }}\n\
             sandbox \"a\" {{ image \"x:1\"; env {{ KEY secret=\"s\" }}\nnetwork {{ tls {{ {tls} }} }} }}"
        )
    };
    let found = problems(&text("", "intercept #false"));
    let expected = "\
f.kdl:3:17: error[msb::rule::secret-needs-tls]: secret `s` is used, and TLS is not opened
  2:38: it is used here
  help: leave `intercept` out, or say in the secret that `require-tls` is false
error: f.kdl: 1 problem
";
    assert_eq!(found, expected);
    project(&text("; require-tls #false", "intercept #false"));
    let every = "every host of secret `s` is in `bypass`";
    check(&text("", "bypass \"*.a.example\" \"b.example\""), "rule::secret-needs-tls", every);
    project(&text("", "bypass \"*.a.example\""));
    project(&text("; require-tls #false", "bypass \"*.a.example\" \"b.example\""));
}

#[test]
fn sf_3_2_a_secret_whose_hosts_are_all_denied_is_worth_a_word() {
    let text = |network: &str| {
        format!(
            "secret \"s\" {{ from-env \"S\"; hosts \"api.acme.example\" \"*.b.example\" }}\n\
             sandbox \"a\" {{ image \"x:1\"; env {{ KEY secret=\"s\" }}\nnetwork {{ {network} }} }}"
        )
    };
    let denied = ["msb::rule::secret-host-denied"];
    assert_eq!(warnings(&text("preset \"none\"")), denied);
    assert_eq!(warnings(&text("preset \"none\"; rules { allow \"private\" }")), denied);
    assert_eq!(warnings(&text("preset \"none\"; rules { allow \"x.example\" }")), denied);
    let icmp = "preset \"none\"; rules { allow \"api.acme.example\" protocol=\"icmp\" }";
    assert_eq!(warnings(&text(icmp)), denied);
    for open in [
        "preset \"public\"",
        "preset \"none\"; rules { allow \"api.acme.example\" ports=443 }",
        "preset \"none\"; rules { allow \"x.b.example\" }",
        "preset \"none\"; rules { allow \"any\" }",
        "rules { deny \"api.acme.example\" }",
    ] {
        assert_eq!(warnings(&text(open)), [""; 0], "{open}");
    }
    let found = read("f.kdl", &text("preset \"none\"")).unwrap();
    let told = found.warnings[0].plain(&found.sources);
    let expected = "\
f.kdl:2:38: warning[msb::rule::secret-host-denied]: the network lets no request reach a host of secret `s`
  1:28: it may go only here
  help: add to the rules of `network`: allow \"api.acme.example\" protocol=\"tcp\" ports=\"443\"
";
    assert_eq!(told, expected);
}

#[test]
fn sf_m7_another_source_of_a_secret_drops_the_lower_one() {
    let files = [("a.kdl", SECRET), ("b.kdl", "secret \"s\" { from-file \"/s\" }")];
    let files = files.map(|(name, text)| SourceFile {
        path: name.into(),
        bytes: text.as_bytes().to_vec(),
        format: crate::sandboxfile::source::Format::Kdl,
    });
    let inputs = ResolveInputs { folder: "/home/ana/acme".into(), ..ResolveInputs::default() };
    let found = resolve(&files, &inputs).unwrap().project;
    assert_eq!(found.secrets["s"].source.to_string(), "file:/s");
    assert_eq!(found.secrets["s"].hosts.len(), 1);
}
