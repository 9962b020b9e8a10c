//! What is probably not meant in a network, told with its place.

use super::network_tests::{read, warnings};

fn told(name: &str, text: &str) -> String {
    let found = read(name, text).unwrap_or_else(|failed| panic!("{}", failed.plain()));
    found.warnings.iter().map(|problem| problem.plain(&found.sources)).collect()
}

#[test]
fn a_rule_that_decides_nothing_is_told_with_what_decides() {
    let text = r#"sandbox "a" { image "x:1"
 network { preset "none"; tls { ports 443 8443 }
  rules {
   allow "*.a.example" protocol="tcp"
   allow "*.a.example" protocol="udp" ports=53
   deny "x.a.example" ports=53
   allow "203.0.113.0/24"
   allow "b.example" protocol="udp" ports=8443
  }
 }
}
"#;
    let expected = "\
f.kdl:6:4: warning[msb::rule::never-matches]: nothing is left for `deny x.a.example tcp+udp/53` to decide
  4:4: this decides part of it
  5:4: this decides part of it
  help: move it before what decides, or delete it; the first rule that matches wins
f.kdl:7:4: warning[msb::rule::never-matches]: nobody is reached at 203.0.113.0/24
  help: delete it; documentation, broadcast and the guest's own addresses lead nowhere
f.kdl:8:4: warning[msb::rule::never-matches]: `allow b.example udp/8443` is denied as QUIC, whatever the rule says
  2:33: TLS is expected here
  help: write `block-quic #false` in `tls`, or another port or protocol
";
    assert_eq!(told("f.kdl", text), expected);
}

#[test]
fn an_allow_list_of_addresses_without_names_is_told() {
    let text =
        r#"sandbox "a" { image "x:1"; network { preset "none"; rules { allow "10.0.0.0/8" } } }"#;
    let expected = "\
f.kdl:1:53: warning[msb::rule::names-denied]: addresses are allowed, and no name may be looked up
  1:38: the preset is here
  help: add a rule for each name that is used, such as allow \"api.acme.example\"; what is reached by its address needs none
";
    assert_eq!(told("f.kdl", text), expected);
    let yaml =
        "sandboxes: {a: {image: 'x:1', network: {preset: none, rules: [{allow: 10.0.0.0/8}]}}}";
    assert!(told("f.yaml", yaml).contains("such as - allow: \"api.acme.example\""));
}

#[test]
fn a_network_of_many_sandboxes_is_told_of_once_and_one_of_use_not_at_all() {
    let shared = |rules: &str, more: &str| {
        let network = format!("network {{ {more}; rules {{ {rules} }} }}\n");
        let of = |name: &str| format!("sandbox \"{name}\" {{ image \"x:1\" }}\n");
        format!("{network}{}{}", of("a"), of("b"))
    };
    let idle = shared("deny \"any\"; allow \"a.example\"", "preset \"public\"");
    assert_eq!(warnings(&idle), ["msb::rule::never-matches"]);
    for (rules, more) in [
        ("allow \"a.example\"; deny \"any\"", "preset \"public\""),
        ("allow \"host\" ports=5432", "preset \"none\""),
        ("allow \"10.0.0.0/8\"; allow \"a.example\"", "preset \"none\""),
        ("deny \"10.0.0.0/8\"", "preset \"private\""),
        ("allow \"a.example\" protocol=\"udp\" ports=443", "tls { block-quic #false }"),
    ] {
        assert_eq!(warnings(&shared(rules, more)), [""; 0], "{rules}");
    }
    let nobody = "network { rules { deny \"any\"; allow \"a.example\" } }\n\
                  sandbox \"a\" { image \"x:1\"; network { preset \"off\" } }";
    assert_eq!(warnings(nobody), [""; 0], "nothing of it is laid there");
}
