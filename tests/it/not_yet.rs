//! What is not built yet is refused by name, never read and ignored.

use tests::home::Home;

/// Keys that the language refuses until a later version, and the lines that write them.
const LATER: [(&str, &str); 2] = [
    ("matrix", "sandbox \"a\" { image \"builtin:base\"; matrix { axes { os \"x\" \"y\" } } }"),
    ("update", "sandbox \"a\" { image \"builtin:base\"; lifecycle { update \"start-first\" } }"),
];

#[test]
fn keys_of_later_versions_are_refused_by_name() {
    let home = Home::process();
    let mut silent = Vec::new();
    for (key, lines) in LATER {
        home.write("Sandboxfile", &format!("project \"shop\"\n{lines}\n"));
        let run = home.msb(["validate"]);
        let told =
            run.stderr.contains("msb::schema::not-yet") && run.stderr.contains(&format!("`{key}`"));
        if run.code != 65 || !told || !run.stderr.contains("not supported yet") {
            silent.push(format!("{key}: {run}"));
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// Fields that are planned, and refused by the run that would need them.
const UNBUILT: [(&str, &str); 8] = [
    ("root-disk", "root-disk \"./vm.raw\""),
    ("root-dir", "root-dir \"./root\""),
    ("network.tls.intercept", "image \"builtin:base\"; network { tls { intercept #true } }"),
    ("network.tls.bypass", "image \"builtin:base\"; network { tls { bypass \"a.example\" } }"),
    ("network.tls.upstream-ca", "image \"builtin:base\"; network { tls { upstream-ca \"./a\" } }"),
    (
        "network.tls.ca-cert",
        "image \"builtin:base\"; network { tls { ca-cert \"a\"; ca-key \"b\" } }",
    ),
    (
        "network.tls.trust-host-cas",
        "image \"builtin:base\"; network { tls { trust-host-cas #true } }",
    ),
    ("env.KEY", "image \"builtin:base\"; env { KEY secret=\"s\" }"),
];

/// What some of the lines refer to.
const REST: &str = "sandbox \"b\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n\
                    secret \"s\" { from-env \"S\"; hosts \"a.example\" }\n";

#[test]
fn fields_that_no_machine_honours_are_planned_and_refused_by_name() {
    let home = Home::process();
    let mut silent = Vec::new();
    for (field, lines) in UNBUILT {
        home.write(
            "Sandboxfile",
            &format!("project \"shop\"\nsandbox \"a\" {{ {lines} }}\n{REST}"),
        );
        home.msb(["validate"]).exits(0);
        let diff = home.msb(["diff"]);
        let listed = diff.code == 2 && diff.stdout.contains(&format!("{field}: not supported yet"));
        let up = home.msb(["up"]);
        let refused = up.code == 1
            && up.stderr.contains(&format!("error: a: {field}: not supported yet"))
            && up.stderr.contains("Sandboxfile:2");
        if !listed || !refused || !home.msb(["ps", "-q"]).stdout.is_empty() {
            silent.push(format!("{field}: {diff}\n{up}"));
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn commands_of_later_versions_are_refused_by_name() {
    let home = Home::process();
    for command in ["snapshot", "serve", "ssh"] {
        let run = home.msb([command, "x"]);
        let refused = run.code == 1 && run.stderr.contains("not supported yet");
        let unknown = run.code == 64;
        assert!(refused || unknown, "{run}");
    }
}
