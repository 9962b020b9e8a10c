//! Published ports and siblings, from text to project or problems.

use super::network_tests::{check, check_line, problems, project, read, sandbox};

fn keys(text: &str, name: &str) -> Vec<String> {
    let sandbox = sandbox(text, name);
    sandbox.ports.iter().map(|port| format!("{} {}", port.key(), port.guest)).collect()
}

#[test]
fn sf_3_6_a_row_publishes_ports_in_order() {
    let text = "sandbox \"a\" { image \"x:1\"\n\
                port guest=53 host=5353 bind=\"0.0.0.0\" protocol=\"udp\"\n\
                port guest=80 host=\"8080\"\nport guest=\"90-91\" host=\"9090-9091\" bind=\"::1\"\n\
                port guest=22\n}";
    let expected =
        ["auto:22/tcp 22", "8080/tcp 80", "[::1]:9090-9091/tcp 90-91", "0.0.0.0:5353/udp 53"];
    assert_eq!(keys(text, "a"), expected);
    let yaml = "sandboxes: {a: {image: 'x:1', ports: [{guest: 22}, {guest: 80, host: 8080}, \
                {guest: 90-91, host: 9090-9091, bind: '::1'}, \
                {guest: 53, host: 5353, bind: 0.0.0.0, protocol: udp}]}}";
    assert_eq!(read("f.yaml", yaml).unwrap().project, project(text));
    let found = read("f.kdl", text).unwrap();
    let place = |path: &str| {
        found.origins.nearest("sandbox.a", path).map(|place| (place.line, place.column))
    };
    assert_eq!(place("ports.8080/tcp"), Some((3, 15)));
    assert_eq!(place("ports.auto:22/tcp"), Some((5, 6)));
}

#[test]
fn a_mistake_in_a_port_is_one_problem() {
    for (line, code, part) in [
        ("port host=80", "schema::missing-key", "guest"),
        ("port guest=0", "value::port", "1 to 65535"),
        ("port guest=65536", "value::port", "1 to 65535"),
        ("port guest=\"8080:80\"", "value::port", "write guest=80 host=8080"),
        ("port guest=\"80,81\"", "value::port", "such as \"8080-8089\""),
        ("port guest=80 host=\"atuo\"", "value::port", "\"auto\""),
        ("port guest=80 host=\"90-80\"", "value::port", "write \"80-90\""),
        ("port guest=80 bind=\"localhost\"", "value::cidr", "write \"127.0.0.1\""),
        ("port guest=80 bind=\"*\"", "value::cidr", "write \"0.0.0.0\""),
        ("port guest=80 bind=\"[::1]\"", "value::cidr", "write \"::1\""),
        ("port guest=80 protocol=\"sctp\"", "value::choice", "tcp, udp"),
        ("port 80", "schema::shape", "properties only"),
        ("port guest=80; port guest=80", "schema::duplicate-key", "auto:80/tcp"),
        ("port guest=\"1-1001\"", "value::range", "1001 ports are published; there can be 1000"),
    ] {
        check_line(line, code, part);
    }
}

#[test]
fn sf_3_6_a_range_of_the_host_has_a_slice_for_each_instance() {
    let web = |port: &str, replicas: &str| {
        format!("sandbox \"web\" {{ image \"x:1\"\n{replicas}\n{port}\n}}")
    };
    let found = project(&web("port guest=\"80-81\" host=\"8080-8085\"", "replicas 3"));
    let taken: Vec<String> = found
        .sandboxes
        .iter()
        .map(|(name, body)| {
            let own = body.ports[0].of_instance(name.index.unwrap()).unwrap();
            format!("{name} {}", own.key())
        })
        .collect();
    assert_eq!(taken, ["web[0] 8080-8081/tcp", "web[1] 8082-8083/tcp", "web[2] 8084-8085/tcp"]);
    let few = "the 3 instances of `web` publish 3 ports with 1 port";
    let found = problems(&web("port guest=80 host=8080", "replicas 3"));
    assert!(found.contains("error[msb::rule::port-count]") && found.contains(few), "{found}");
    assert!(found.contains("write host=\"8080-8082\", or host=\"auto\""), "{found}");
    for (port, replicas, part) in [
        ("port guest=80 host=\"8080-8081\"", "", "`web` publishes 1 port with 2 ports"),
        ("port guest=\"80-81\" host=8080", "", "write host=\"8080-8081\""),
        ("port guest=80 host=\"8080-8083\"", "replicas 3", "3 ports with 4 ports"),
        ("port guest=80 host=65535", "replicas 3", "write lower ports"),
        ("port guest=\"1-1000\" host=1", "replicas 999", "999000 ports with 1 port"),
    ] {
        check(&web(port, replicas), "rule::port-count", part);
    }
    // Of no instance, and of a port that the kernel chooses, nothing is counted.
    project(&web("port guest=80 host=8080", "replicas 0"));
    project(&web("port guest=80", "replicas 3"));
}

#[test]
fn sf_3_6_a_row_that_differs_between_instances_is_each_one_s_own() {
    let text =
        "sandbox \"web\" { image \"x:1\"; replicas 2\nport guest=80 host=\"808${replica.index}\" }";
    let found = project(text);
    let own = found
        .sandboxes
        .iter()
        .map(|(name, body)| body.ports[0].of_instance(name.index.unwrap()).unwrap().key());
    assert_eq!(own.collect::<Vec<_>>(), ["8080/tcp", "8081/tcp"]);
    // What else differs makes no difference to a row that reads the same for all.
    let other = "sandbox \"web\" { image \"x:1\"; replicas 2; env { N \"${replica.index}\" }\n\
                 port guest=80 host=8080 }";
    check(other, "rule::port-count", "the 2 instances of `web`");
    let twice = format!("{text}\nsandbox \"db\" {{ image \"x:1\"; port guest=1 host=8081 }}");
    check(&twice, "rule::port-clash", "127.0.0.1:8081/tcp is published twice");
}

#[test]
fn sf_3_6_a_port_of_the_host_is_published_once() {
    let two = |one: &str, other: &str| {
        format!(
            "sandbox \"a\" {{ image \"x:1\"\n{one}\n}}\nsandbox \"b\" {{ image \"x:1\"\n{other}\n}}"
        )
    };
    for (one, other, place) in [
        ("port guest=1 host=80", "port guest=2 host=80", "127.0.0.1:80/tcp is"),
        ("port guest=1 host=80 bind=\"0.0.0.0\"", "port guest=2 host=80", "127.0.0.1:80/tcp is"),
        ("port guest=1 host=80", "port guest=2 host=80 bind=\"0.0.0.0\"", "127.0.0.1:80/tcp is"),
        (
            "port guest=1 host=80 bind=\"::\"",
            "port guest=2 host=80 bind=\"::1\"",
            "[::1]:80/tcp is",
        ),
        (
            "port guest=1 host=80 bind=\"0.0.0.0\"",
            "port guest=2 host=80 bind=\"0.0.0.0\"",
            "0.0.0.0:80/tcp is",
        ),
        (
            "port guest=\"1-5\" host=\"80-84\"",
            "port guest=\"1-5\" host=\"83-87\"",
            "127.0.0.1:83-84/tcp is",
        ),
        (
            "port guest=1 host=80 protocol=\"udp\"",
            "port guest=1 host=80 protocol=\"udp\"",
            "127.0.0.1:80/udp is",
        ),
        (
            "port guest=\"1-50\" host=\"50-99\"; port guest=60 host=51 bind=\"127.0.0.2\"",
            "port guest=1 host=80",
            "127.0.0.1:80/tcp is",
        ),
    ] {
        check(&two(one, other), "rule::port-clash", place);
    }
    for (one, other) in [
        ("port guest=1 host=80", "port guest=1 host=81"),
        ("port guest=1 host=80", "port guest=1 host=80 protocol=\"udp\""),
        ("port guest=1 host=80", "port guest=1 host=80 bind=\"127.0.0.2\""),
        ("port guest=1 host=80 bind=\"0.0.0.0\"", "port guest=1 host=80 bind=\"::\""),
        ("port guest=1", "port guest=1"),
        ("port guest=\"1-5\" host=\"80-84\"", "port guest=\"1-5\" host=\"85-89\""),
    ] {
        project(&two(one, other));
    }
    let same = "sandbox \"a\" { image \"x:1\"; port guest=1 host=80; port guest=2 host=80 }";
    check(same, "rule::port-clash", "and by a");
}

/// The rendering of the page that defines the language, in its plain form.
#[test]
fn sf_d4_a_clash_of_ports_reads_as_the_page_shows_it() {
    let mut lines = vec![String::new(); 50];
    "sandbox \"db\" {\n    image \"x:1\"\n    port guest=80 host=8080\n}"
        .lines()
        .enumerate()
        .for_each(|(at, line)| line.clone_into(&mut lines[16 + at]));
    "sandbox \"web\" {\n    image \"x:1\"\n    replicas 3\n    port guest=3000 host=\"8080-8082\"\n}"
        .lines()
        .enumerate()
        .for_each(|(at, line)| line.clone_into(&mut lines[40 + at]));
    let failed = read("Sandboxfile.kdl", &lines.join("\n")).unwrap_err();
    let expected = "\
Sandboxfile.kdl:19:19: error[msb::rule::port-clash]: 127.0.0.1:8080/tcp is published twice
  44:21: and by web[0]
  help: give one another host port, another `bind` address, or host=\"auto\"
error: Sandboxfile.kdl: 1 problem
";
    assert_eq!(failed.plain(), expected);
    let labels = &failed.problems[0].labels;
    let widths: Vec<u32> = labels.iter().map(|label| label.span.end - label.span.start).collect();
    assert_eq!((labels[0].text.as_str(), widths), ("by db", vec![9, 16]));
}

#[test]
fn a_thousand_claims_are_held_apart_in_one_pass() {
    let each = |number: usize| {
        format!(
            "sandbox \"s{number}\" {{ image \"x:1\"; port guest=80 host={} }}\n",
            10_000 + number
        )
    };
    let apart: String = (0..999).map(each).collect();
    project(&apart);
    let again = "sandbox \"t\" { image \"x:1\"; port guest=1 host=10500 bind=\"0.0.0.0\" }";
    check(&format!("{apart}{again}"), "rule::port-clash", "and by t");
}

#[test]
fn sf_3_6_a_sibling_is_reached_by_its_name_or_another() {
    let text = "sandbox \"web\" { image \"x:1\"; connect \"db\" ports=\"9187,5432\" as=\"postgres\"\n\
                connect \"mq\" ports=\"any\" }\nsandbox \"db\" { image \"x:1\"; connect \"web\" ports=80 }\n\
                job \"mq\" { image \"x:1\"; command \"x\" }";
    let web = sandbox(text, "web");
    let ways: Vec<String> = web
        .connect
        .iter()
        .map(|(target, way)| format!("{target} {} {}", way.ports, way.alias))
        .collect();
    assert_eq!(ways, ["db 5432,9187 postgres", "mq any mq"]);
    let yaml = "sandboxes: {web: {image: 'x:1', connect: {db: {ports: '9187,5432', as: postgres}, \
                mq: {ports: any}}}, db: {image: 'x:1', connect: {web: {ports: 80}}}}\n\
                jobs: {mq: {image: 'x:1', command: x}}";
    assert_eq!(read("f.yaml", yaml).unwrap().project, project(text));
}

#[test]
fn a_mistake_in_a_way_to_a_sibling_is_one_problem() {
    for (line, code, part) in [
        ("connect \"dv\" ports=1", "ref::unknown", "write \"db\""),
        ("connect \"a\" ports=1", "schema::conflict", "connects to itself"),
        ("connect \"db\"", "schema::missing-key", "ports"),
        ("connect \"db\" ports=0", "value::port", "1 to 65535"),
        ("connect \"db\" ports=1 as=\"A b\"", "value::name", "write \"a-b\""),
        ("connect \"db\" ports=1 as=\"a\"", "schema::conflict", "called itself"),
        ("connect \"db\" ports=1 as=\"localhost\"", "schema::conflict", "called itself"),
        ("hostname \"h\"; connect \"db\" ports=1 as=\"h\"", "schema::conflict", "called itself"),
        ("connect \"db\" ports=1; connect \"db\" ports=2", "schema::duplicate-key", "twice"),
    ] {
        check_line(line, code, part);
    }
    let both = "sandbox \"a\" { image \"x:1\"; connect \"b\" ports=1; connect \"c\" ports=1 as=\"b\" }\n\
                sandbox \"b\" { image \"x:1\" }\nsandbox \"c\" { image \"x:1\" }";
    check(both, "schema::conflict", "two siblings would be called `b`");
    let off = "sandbox \"a\" { image \"x:1\"; connect \"b\" ports=1 }\n\
               sandbox \"b\" { image \"x:1\"; network { preset \"off\" } }";
    check(off, "rule::network-off", "`b` has no network to be reached by");
}
