//! `msb-metrics`: what every machine uses arrives at a receiver that knows nothing of msb.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::home::Home;
use tests::otlp::{Certificates, Receiver};
use tests::run::{Run, eventually};
use tests::skip::skip;

const SHOP: &str = "project \"shop\"\n\
    sandbox \"web\" {\n\
      image \"builtin:base\"\n\
      command \"sleep\" \"1000\"\n\
      replicas 2\n\
      labels { tier \"web\"; commit \"f00\" }\n\
      metrics { exclude-labels \"commit\"; attributes { env \"prod\" } }\n\
    }\n\
    sandbox \"db\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n";

/// How long anything may take that takes moments.
const SOON: Duration = Duration::from_secs(30);

fn run(home: &Home, words: &[&str]) -> Run {
    home.exporter(words).wait(SOON)
}

/// Returns what stands at `key` of every point that has it.
fn all<'a>(points: &'a [Value], key: &str) -> BTreeSet<&'a str> {
    points.iter().filter_map(|point| point[key].as_str()).collect()
}

fn of_sandbox<'a>(points: &'a [Value], name: &str) -> Vec<&'a Value> {
    let is_of = |point: &&Value| point["attributes"]["sandbox.name"] == name;
    points.iter().filter(is_of).collect()
}

#[test]
fn rt_11_4_figures_arrive_over_both_protocols_as_the_page_says() {
    let home = Home::process();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    let grpc = format!("http://127.0.0.1:{}", receiver.grpc);
    let http = format!("http://127.0.0.1:{}/v1/metrics", receiver.http);
    let more = ["--header", "x-token=a,b=c", "--resource", "team=ops", "--emit-pid", "--once"];
    for (protocol, endpoint, packed) in [
        ("grpc", &grpc, "none"),
        ("grpc", &grpc, "gzip"),
        ("http", &http, "none"),
        ("http", &http, "gzip"),
    ] {
        let before = receiver.requests().len();
        let words =
            ["otel", "--endpoint", endpoint, "--protocol", protocol, "--compression", packed];
        run(&home, &[&words[..], &more].concat()).exits(0);
        let requests = receiver.requests().split_off(before);
        assert_eq!(requests.len(), 2, "what machines used, then what the exporter says of itself");
        for request in &requests {
            let headers = &request["headers"];
            assert_eq!(request["via"], protocol);
            assert_eq!(headers["x-token"], "a,b=c");
            // gRPC does not tell its server how a message was packed, but how long it was.
            let length = headers["content-length"].as_str().and_then(|length| length.parse().ok());
            let is_packed = match protocol {
                "grpc" => request["bytes"].as_u64() > length,
                _ => headers["content-encoding"] == "gzip",
            };
            assert_eq!(is_packed, packed == "gzip", "{headers}");
        }
        let points = tests::otlp::points(&requests[0]);
        figures(&points);
        whose(&home, &points);
        let own = tests::otlp::points(&requests[1]);
        let names = all(&own, "name");
        assert!(names.contains("microsandbox.collector.exports.success"), "{names:?}");
        assert!(names.contains("microsandbox.collector.last_success_timestamp"), "{names:?}");
    }
}

/// Holds names, types, units and values.
fn figures(points: &[Value]) {
    let now_ns = points.iter().filter_map(|point| point["time"].as_u64()).max().unwrap();
    for (name, kind, unit) in [
        ("cpu.utilization", "gauge", "1"),
        ("cpu.time", "sum", "s"),
        ("memory.usage", "gauge", "By"),
        ("memory.limit", "gauge", "By"),
        ("uptime", "gauge", "s"),
        ("restarts", "sum", "1"),
    ] {
        let name = format!("microsandbox.{name}");
        let found: Vec<&Value> = points.iter().filter(|point| point["name"] == name).collect();
        assert_eq!(found.len(), 3, "{name}: one point for each machine");
        for point in found {
            assert_eq!((&point["kind"], &point["unit"]), (&json!(kind), &json!(unit)), "{point}");
            assert_eq!(point["monotonic"], kind == "sum", "{point}");
            let (start, time) = (point["start"].as_u64().unwrap(), point["time"].as_u64().unwrap());
            match kind {
                "sum" => {
                    assert!(start > 0 && start <= time && point["temporality"] == 2, "{point}");
                }
                _ => assert_eq!(start, 0, "{point}"),
            }
            assert!(now_ns - time < 5_000_000_000, "{point}");
            assert_eq!(point["scope"], json!(["msb", env!("CARGO_PKG_VERSION")]));
        }
    }
}

/// Holds attributes and the resource.
fn whose(home: &Home, points: &[Value]) {
    let rows = home.ps();
    for (name, instance) in [("web", Some("0")), ("web", Some("1")), ("db", None)] {
        let row = rows.iter().find(|row| row["name"] == name && row["instance"] == json!(instance));
        let row = row.unwrap_or_else(|| panic!("{name}: {rows:?}"));
        let of_it: Vec<&Value> =
            points.iter().filter(|point| point["attributes"]["sandbox.id"] == row["id"]).collect();
        assert!(!of_it.is_empty(), "{row}");
        for point in of_it {
            let mut want = json!({
                "sandbox.name": name, "sandbox.project": "shop", "sandbox.id": row["id"],
                "sandbox.driver": "process", "sandbox.pid": row["pid"],
            });
            if let Some(instance) = instance {
                want["sandbox.instance"] = json!(instance);
                want["tier"] = json!("web");
                want["env"] = json!("prod");
            }
            assert_eq!(point["attributes"], want);
            let resource = &point["resource"];
            assert_eq!(
                (&resource["service.name"], &resource["team"]),
                (&json!("msb"), &json!("ops"))
            );
            assert!(resource["service.instance.id"].as_str().is_some_and(|id| !id.is_empty()));
            assert!(resource["host.name"].as_str().is_some_and(|name| !name.is_empty()));
        }
    }
}

#[test]
fn variables_say_where_figures_go_and_flags_whose() {
    let home = Home::process();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    let mut command = home.program("msb-metrics");
    command
        .args(["--once", "--no-labels", "--label", "tier=web", "otel"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", receiver.http))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-token=a%2Cb")
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli")
        .env("OTEL_SERVICE_NAME", "sandboxes");
    let run = home.spawn(command).wait(SOON).exits(0);
    assert_eq!(run.stderr.matches("brotli").count(), 1, "{run}");
    let requests = receiver.requests();
    assert_eq!(requests[0]["headers"][":path"], "/v1/metrics");
    assert_eq!(requests[0]["headers"]["x-token"], "a,b");
    let points = tests::otlp::points(&requests[0]);
    assert_eq!(points[0]["resource"]["service.name"], "sandboxes");
    assert!(of_sandbox(&points, "db").is_empty(), "it has no such label");
    let web = of_sandbox(&points, "web");
    assert!(!web.is_empty());
    assert!(web.iter().all(|point| point["attributes"]["tier"].is_null()));
    assert!(
        web.iter().all(|point| point["attributes"]["env"] == "prod"),
        "no label, but a constant"
    );
}

#[test]
fn a_receiver_with_tls_is_believed_by_its_certificate_and_believes_ours() {
    let home = Home::process();
    let certificates = Certificates::make(&home, "certificates");
    let strangers = Certificates::make(&home, "strangers");
    let Some(receiver) = Receiver::start_safe(&home, "receiver", &certificates) else {
        return skip("otlp");
    };
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (own, key) = (path(&certificates.client.0), path(&certificates.client.1));
    let (known, strange) = (path(&certificates.authority), path(&strangers.authority));
    for (protocol, port) in [("grpc", receiver.grpc), ("http", receiver.http)] {
        let endpoint = format!("https://localhost:{port}");
        let words = ["--once", "otel", "--endpoint", &endpoint, "--protocol", protocol];
        let client = ["--client-cert", &own, "--client-key", &key];
        let before = receiver.requests().len();
        run(&home, &[&words[..], &["--ca-cert", &known], &client].concat()).exits(0);
        assert_eq!(receiver.requests().len(), before + 1, "{protocol}");
        run(&home, &[&words[..], &["--ca-cert", &strange], &client].concat())
            .exits(1)
            .complains(&["the receiver takes no figures", "certificate"]);
        run(&home, &[&words[..], &["--ca-cert", &known]].concat()).exits(1);
        run(&home, &[&words[..], &client].concat()).exits(1);
        assert_eq!(receiver.requests().len(), before + 1, "{protocol}");
    }
}

#[test]
fn an_exporter_waits_for_a_home_and_makes_none() {
    let home = Home::process();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    let later = home.scratch("later");
    let endpoint = format!("http://127.0.0.1:{}", receiver.grpc);
    let later = later.to_str().unwrap();
    let exporter =
        home.exporter(&["--home", later, "--flush-interval", "1", "otel", "--endpoint", &endpoint]);
    eventually("it says that it is there", SOON, || (receiver.requests().len() > 1).then_some(()));
    assert!(!std::path::Path::new(later).exists());
    home.write("Sandboxfile", SHOP);
    home.msb(["--home", later, "up"]).exits(0);
    eventually("machines are told of", SOON, || {
        (!of_sandbox(&receiver.points(), "db").is_empty()).then_some(())
    });
    home.msb(["--home", later, "down", "--yes"]).exits(0);
    exporter.signal(Signal::TERM);
    exporter.wait(SOON).exits(0);
}

#[test]
fn labels_that_change_while_a_machine_runs_are_told_from_then_on() {
    let home = Home::process();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    let born = home.sandbox("db")["started_at"].clone();
    let endpoint = format!("http://127.0.0.1:{}", receiver.grpc);
    let exporter = home.exporter(&["--flush-interval", "1s", "otel", "--endpoint", &endpoint]);
    let tiers = |name: &str| -> BTreeSet<String> {
        let points = receiver.points();
        let of_it = of_sandbox(&points, name);
        of_it.iter().map(|point| point["attributes"]["tier"].to_string()).collect()
    };
    eventually("it is told of", SOON, || (tiers("db").len() == 1).then_some(()));
    let labelled = SHOP.replace("\"db\" {", "\"db\" { labels { tier \"rows\" };");
    home.write("Sandboxfile", &labelled);
    home.msb(["up"]).exits(0);
    let want = BTreeSet::from(["null".to_owned(), "\"rows\"".to_owned()]);
    eventually("its label is told", SOON, || (tiers("db") == want).then_some(()));
    assert_eq!(tiers("web").len(), 1, "the others are what they were");
    assert_eq!(home.sandbox("db")["started_at"], born, "it was restarted");
    exporter.signal(Signal::TERM);
    exporter.wait(SOON).exits(0);
}

#[test]
fn lines_on_stdout_are_for_people_or_for_programs() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    run(&home, &["stdout", "--once"]).exits(0).says(&["no running sandboxes\n"]);
    home.msb(["up"]).exits(0);
    let text = run(&home, &["stdout", "--once"]).exits(0).stdout;
    let line = text.lines().find(|line| line.contains("  shop/web[0]  cpu=")).unwrap();
    for part in [" mem=", " disk_r=", " disk_w=", " net_rx=", " net_tx=", " up="] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(text.lines().count(), 3, "{text}");
    let rows = run(&home, &["--once", "--project", "shop", "stdout", "--json"]).exits(0).stdout;
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    let web = rows.iter().find(|row| row["address"] == "sandbox.web[1]").unwrap();
    assert_eq!((&web["project"], &web["instance"]), (&json!("shop"), &json!("1")));
    assert!(web["memory_bytes"].is_u64() && web["boot"] == 1, "{web}");
    let exporter = home.exporter(&["stdout", "--flush-interval", "1"]);
    eventually("a second round", SOON, || {
        (exporter.printed().matches("shop/db").count() > 1).then_some(())
    });
    exporter.signal(Signal::INT);
    exporter.wait(SOON).exits(0);
}

#[test]
fn a_start_that_cannot_succeed_says_why() {
    let home = Home::process();
    let nowhere = home.scratch("nowhere.pem");
    let nowhere = nowhere.to_str().unwrap();
    run(&home, &["otel"]).exits(64).complains(&["OTEL_EXPORTER_OTLP_ENDPOINT"]);
    run(&home, &["otel", "--endpoint", "localhost:4317"]).exits(1).complains(&["http://"]);
    run(&home, &["otel", "--endpoint", "https://h:1", "--ca-cert", nowhere])
        .exits(1)
        .complains(&["nowhere.pem"]);
    run(&home, &["otel", "--no-such"]).exits(64).complains(&["--no-such", "msb-metrics --help"]);
    let header = ["otel", "--endpoint", "http://h:1", "--header"];
    run(&home, &[&header[..], &["token=env:NONE"]].concat()).exits(64).complains(&["NONE"]);
    for wrong in ["geheim", "to ken=geheim", "token=ge\nheim"] {
        let run = run(&home, &[&header[..], &[wrong]].concat()).exits(64);
        assert!(!run.stderr.contains("heim") && run.stderr.contains("--header"), "{run}");
    }
    run(&home, &["--version"]).exits(0).says(&["msb-metrics 0."]);
    run(&home, &["--help"]).exits(0).says(&["otel", "stdout", "--max-buffered"]);
    let mut disabled = home.program("msb-metrics");
    disabled.args(["otel", "--endpoint", "http://h:1"]).env("OTEL_SDK_DISABLED", "true");
    home.spawn(disabled).wait(SOON).exits(0).complains(&["nothing is exported"]);
}

#[test]
fn rt_11_9_up_and_down_tell_their_steps_as_a_trace() {
    let home = Home::process();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write(
        "Sandboxfile",
        "project \"shop\"\n\
         sandbox \"db\" { image \"builtin:base\"; command \"sleep\" \"1000\"; env { TOKEN \"canary\" } }\n\
         sandbox \"web\" { image \"builtin:base\"; command \"sleep\" \"1000\"; depends-on \"db\" }\n",
    );
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = |word: &str, protocol: &str, port: u16| {
        let mut command = home.command();
        command
            .arg(word)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("TRACEPARENT", parent);
        home.spawn(command).wait(home.rung().patience()).exits(0)
    };
    traced("up", "grpc", receiver.grpc);
    traced("down", "http/protobuf", receiver.http);
    let requests = receiver.requests();
    assert_eq!(requests[1]["headers"][":path"], "/v1/traces");
    assert!(!format!("{requests:?}").contains("canary"));
    let spans: Vec<Vec<Value>> =
        requests.iter().map(|request| request["spans"].as_array().unwrap().clone()).collect();
    for (spans, name) in spans.iter().zip(["msb up", "msb down"]) {
        let root = spans.iter().find(|span| span["name"] == name).unwrap();
        assert_eq!((&root["parent"], &root["status"]), (&json!("b7ad6b7169203331"), &json!(0)));
        assert_eq!(root["attributes"]["msb.project"], "shop");
        assert_eq!(root["attributes"]["msb.exit_code"], 0);
        assert!(root["attributes"]["msb.run"].is_u64(), "{root}");
        assert!(spans.iter().all(|span| span["trace"] == "0af7651916cd43dd8448eb211c80319c"));
        let ids: BTreeSet<&str> = spans.iter().filter_map(|span| span["id"].as_str()).collect();
        assert_eq!(ids.len(), spans.len(), "each has a number of its own");
        for step in spans.iter().filter(|span| span["attributes"]["msb.op"].is_string()) {
            assert_eq!(step["parent"], root["id"], "{step}");
            assert_eq!(step["attributes"]["msb.result"], "done", "{step}");
            assert!(step["start"].as_u64() >= root["start"].as_u64(), "{step}");
            assert!(step["end"].as_u64() <= root["end"].as_u64(), "{step}");
        }
    }
    let of = |name: &str, address: &str| -> Vec<&Value> {
        let is_it =
            |span: &&Value| span["name"] == name && span["attributes"]["msb.address"] == address;
        spans[0].iter().filter(is_it).collect()
    };
    let (boot, gates) = (of("boot", "sandbox.web")[0], of("gate", "sandbox.db"));
    let links: BTreeSet<&str> =
        boot["links"].as_array().unwrap().iter().filter_map(|link| link[1].as_str()).collect();
    let waited = gates.iter().filter_map(|gate| gate["id"].as_str());
    assert!(waited.into_iter().any(|gate| links.contains(gate)), "{boot}: {gates:?}");
    let below: Vec<&Value> = spans[0].iter().filter(|span| span["parent"] == boot["id"]).collect();
    assert!(below.iter().any(|span| span["name"] == "agent"), "{below:?}");
}

#[test]
fn rt_11_9_a_dead_collector_of_traces_is_one_warning_and_delays_nothing() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (word, at) in [("up", nobody), ("down", mute.local_addr().unwrap())] {
        let mut command = home.command();
        command.arg(word).env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{at}"));
        let run = home.spawn(command).wait(home.rung().patience()).exits(0);
        assert_eq!(run.stderr.matches("nobody took the trace").count(), 1, "{run}");
    }
    let mut command = home.command();
    command.arg("up").env("TRACEPARENT", "00-x").env("OTEL_SERVICE_NAME", "x");
    let run = home.spawn(command).wait(home.rung().patience()).exits(0);
    assert!(!run.stderr.contains("trace"), "nobody asked for one: {run}");
}
