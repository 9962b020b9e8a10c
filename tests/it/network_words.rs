//! The network in words: flags of `run` and `create`, `net test`, `inspect`, and what is probably not meant.

use std::fs;

use serde_json::Value;
use tests::home::Home;
use tests::run::Run;

const SHOP: &str = r#"project "shop"
sandbox "db" {
    image "builtin:base"
    replicas 2
    network {
        preset "none"
        rules { deny "any" direction="ingress" protocol="udp" }
    }
}
sandbox "web" {
    image "builtin:base"
    command "sleep" "1000"
    connect "db" ports="5432" as="postgres"
    port guest=80 host="8080"
    port guest=81
    network {
        preset "none"
        dns { servers "1.1.1.1" }
        limits { egress "10MiB/s" }
        rules {
            deny "9.9.9.0/24"
            allow "*.acme.example" ports=443
            allow "host" ports=5432 protocol="tcp"
        }
    }
}
"#;

fn net_test(home: &Home, to: &str) -> Run {
    home.msb(["net", "test", "web", to])
}

#[test]
fn all_problems_of_network_flags_are_wrong_usage_and_told_together() {
    let home = Home::process();
    let line = "run -p 80 --net pubic --allow pubilc:443 --dns 1.1.1 --mount-named ./x:/n --no-net \
                builtin:base true";
    let run = home.msb_with(&line.split_whitespace().collect::<Vec<_>>()).exits(64);
    for said in ["80:80 or auto:80", "write `public`", "not the address", "by --mount-dir"] {
        assert!(run.stderr.contains(said), "{said}: {run}");
    }
    for (line, code) in [
        ("-p 8080:80 -p 8080:81", "rule::port-clash"),
        ("--no-net -p 8080:80", "rule::network-off"),
        ("--net none --no-net", "usage::conflict"),
        ("--deny-ingress a.example", "usage::value"),
    ] {
        let words = format!("create {line} builtin:base");
        let run = home.msb_with(&words.split_whitespace().collect::<Vec<_>>()).exits(64);
        assert!(run.stderr.contains(&format!("msb::{code}")), "{line}: {run}");
    }
    for later in ["--secret=A@a.example", "--tls-intercept", "--tls-bypass=a.example"] {
        home.msb(["run", later, "builtin:base"]).exits(1).complains(&["usage::not-yet"]);
    }
    assert!(!home.path().join("db").exists(), "nothing was made");
}

#[test]
fn network_flags_are_planned_like_a_file_and_rules_keep_their_order() {
    let home = Home::process();
    let msb = |line: &str| home.msb_with(&line.split_whitespace().collect::<Vec<_>>());
    let flags = "--net private --allow a.example:443/tcp --deny any -p 8080:80 --dns 1.1.1.1";
    msb(&format!("create --dry-run -n web {flags} builtin:base")).exits(0).says(&["1 create"]);
    msb("create -n web --net none builtin:base sleep 1000").exits(0);
    home.msb(["inspect", "web"]).exits(0).says(&["Network       none, 0 rules"]);
    msb("run -n web --net none --dry-run builtin:base true").exits(0).says(&["1 unchanged"]);
    // A process has no network that could be told of it while it runs, so it would be restarted.
    let differs = msb(&format!("run --dry-run -n web {flags} builtin:base true"));
    differs.exits(77).complains(&[
        "network.preset: none → private",
        "network.rules.0: - → allow a.example tcp/443",
        "network.rules.1: - → deny any",
        "ports.8080/tcp",
        "1.1.1.1:53",
    ]);
    home.msb(["inspect", "web"]).exits(0).says(&["Network       none, 0 rules"]);
}

#[test]
fn a_policy_is_asked_before_anything_is_brought_up_with_the_place_of_its_rules() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    let rule = "allow  rule 2: allow \"*.acme.example\" ports=443  Sandboxfile:22";
    let told = net_test(&home, "api.acme.example:443").exits(0);
    let lines = format!(
        "{rule}\n  dns     {rule}\n  unless  deny  rule 1: deny \"9.9.9.0/24\"  Sandboxfile:21\n"
    );
    assert_eq!(told.stdout, lines);
    assert!(told.stderr.contains("never brought up; judged as the file says"), "{told}");
    for (to, code, said) in [
        ("9.9.9.9:443", 1, "deny  rule 1: deny \"9.9.9.0/24\"  Sandboxfile:21"),
        ("10.0.0.1:80", 1, "deny  preset none: a private address  Sandboxfile:17"),
        ("other.example:443", 1, "deny  no answer: preset none: public names"),
        ("host.msb.internal:5432", 0, "allow  rule 3: allow \"host\" protocol=\"tcp\" ports=5432"),
        ("host.msb.internal:22", 1, "deny  preset none: the host"),
        ("postgres:5432", 0, "allow  connect db: ports 5432  Sandboxfile:13"),
        ("db-1:5432", 0, "allow  connect db: ports 5432"),
        ("postgres:22", 1, "deny  connect db: ports 5432"),
        ("postgres:5432/udp", 1, "deny  rule 1 of db: deny \"any\" direction=\"ingress\""),
        ("8.8.8.8:53/udp", 0, "allow  the machine's own resolver"),
    ] {
        let run = net_test(&home, to).exits(code);
        assert!(run.stdout.starts_with(said), "{to}: {run}");
    }
    let told = home.msb(["--json", "net", "test", "web", "api.acme.example:443"]).exits(0).json();
    assert_eq!((&told["allowed"], &told["policy"]), (&Value::from(true), &Value::from("file")));
    assert_eq!((&told["source"]["line"], &told["dns"]["allowed"]), (&22.into(), &true.into()));
    assert_eq!(told["unless"][0]["allowed"], false);
    for (to, said) in [
        ("api.acme.example", "its port is missing"),
        ("[::1]", "write `[::1]:443`"),
        ("a.example:443/icmp", "neither tcp nor udp"),
        ("https://a.example:443", "it is a URL"),
        ("*.a.example:443", "many hosts"),
    ] {
        net_test(&home, to).exits(64).complains(&["usage::value", said]);
    }
    home.msb(["net", "test", "wbe", "a.example:443"]).exits(1).complains(&["sandbox::not-found"]);
    assert!(!home.path().join("db").exists(), "nothing was made");
}

#[test]
fn what_was_applied_is_judged_also_where_the_file_says_otherwise_by_now() {
    let home = Home::process();
    let file = |preset: &str| {
        format!(
            "project \"shop\"\nsandbox \"web\" {{\n  image \"builtin:base\"\n  \
             command \"sleep\" \"1000\"\n  network {{ preset \"{preset}\" }}\n}}\n"
        )
    };
    home.write("Sandboxfile", &file("none"));
    home.msb(["up"]).exits(0);
    let denied = "deny  preset none: a public address  Sandboxfile:5\n";
    assert_eq!(net_test(&home, "1.1.1.1:443").exits(1).stdout, denied);
    home.msb(["inspect", "web"]).exits(0).says(&["none, 0 rules, not in force"]);
    home.write("Sandboxfile", &file("public"));
    let told = net_test(&home, "1.1.1.1:443").exits(1);
    assert_eq!(told.stdout, "deny  preset none: a public address\n", "its place is gone");
    assert!(told.stderr.contains("the file says otherwise now"), "{told}");
    home.msb(["stop", "web"]).exits(0);
    net_test(&home, "1.1.1.1:443").exits(1);
    home.msb(["up"]).exits(0);
    net_test(&home, "1.1.1.1:443").exits(0);
    fs::remove_file(home.project().join("Sandboxfile")).unwrap();
    let told = home.msb(["net", "test", "shop/web", "1.1.1.1:443"]).exits(0);
    assert_eq!(told.stdout, "allow  preset public: a public address\n");
    home.write("Sandboxfile", &file("off"));
    home.msb(["up"]).exits(0);
    net_test(&home, "a.example:443").exits(1).says(&["preset off: there is no network"]);
    home.msb(["inspect", "web"]).exits(0).says(&["Network       off"]);
    let told = home.msb(["inspect", "web", "--json"]).exits(0).json();
    assert_eq!(
        (&told[0]["network"]["preset"], &told[0]["network"]["ipv4"]),
        (&"off".into(), &Value::Null)
    );
}

#[test]
fn what_is_probably_not_meant_is_told_with_its_place_and_a_line_that_helps() {
    let home = Home::process();
    let rules = |rules: &str| {
        let network = format!("network {{\n preset \"none\"\n rules {{\n{rules}\n }}\n}}");
        home.write(
            "Sandboxfile",
            &format!("sandbox \"a\" {{ image \"builtin:base\"\n{network}\n}}\n"),
        );
        home.msb(["validate"]).exits(0)
    };
    rules("deny \"*.a.example\"\nallow \"x.a.example\" ports=443").complains(&[
        "Sandboxfile:6:1: warning[msb::rule::never-matches]",
        "5:1: this decides first",
        "move it before what decides",
    ]);
    rules("allow \"10.0.0.0/8\"").complains(&[
        "warning[msb::rule::names-denied]: addresses are allowed, and no name may be looked up",
        "allow \"api.acme.example\"",
    ]);
    let quiet = rules("allow \"x.a.example\" ports=443\ndeny \"*.a.example\"");
    assert!(!quiet.stderr.contains("warning"), "{quiet}");
}

#[test]
fn what_clashes_in_a_plan_without_a_file_is_refused_before_anything_boots() {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        "project \"shop\"\nsandbox \"a\" { image \"builtin:base\"; port guest=80 host=8080 }\n\
         sandbox \"b\" { image \"builtin:base\"; port guest=\"80-82\" host=\"8079-8081\" bind=\"0.0.0.0\" }\n",
    );
    home.msb(["validate"]).exits(65).complains(&["rule::port-clash", "127.0.0.1:8080"]);
}
