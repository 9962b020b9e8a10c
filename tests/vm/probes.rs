//! Probes of real guests: gates that open by a port, an answer or a line, and health.

use std::time::Duration;

use tests::home::Home;
use tests::oracle::{pids, reversed};
use tests::run::eventually;

/// How long an emulated guest may take to be seen well, or not.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gates that open a second after the workload began: a port of the guest's own address alone,
/// one of IPv6's loopback alone, an answer that becomes another, a line.
const PROBED: &str = r##"
project "probed"
template "small" { image "builtin:base"; memory "96MiB"; stop-grace "1s" }
sandbox "db" {
    from "small"
    command "sh" "-c" "sleep 1; exec httpd -f -p 198.18.0.2:5432"
    ready { tcp 5432 }
}
sandbox "six" {
    from "small"
    network { preset "off" }
    command "sh" "-c" "sleep 1; exec httpd -f -p [::1]:5432"
    ready { tcp 5432 }
}
sandbox "web" {
    from "small"
    command "sh" "-c" #"""
        mkdir -p /www/cgi-bin
        printf '#!/bin/sh\ncat /says\necho\n' >/www/cgi-bin/healthz
        chmod +x /www/cgi-bin/healthz
        echo 'Status: 503 Busy' >/says
        (sleep 2; echo 'Status: 204 Well' >/says) &
        exec httpd -f -p 8080 -h /www
        """#
    ready { http "/cgi-bin/healthz" port=8080 status="204" }
    health { http "/cgi-bin/healthz" port=8080; interval "300ms"; failures 2 }
}
sandbox "talk" {
    from "small"
    command "sh" "-c" "sleep 1; echo listening on 80; exec sleep 1000000"
    ready { log #"^listening on \d+$"# }
}
"##;

#[test]
fn rt_10_12_gates_open_from_inside_the_guest_and_health_goes_and_comes_back() {
    let home = Home::machine();
    home.write("Sandboxfile", PROBED);
    home.msb(["up"]).exits(0);
    for name in ["db", "six", "web", "talk"] {
        assert_eq!(home.sandbox(name)["phase"], "ready", "{name}");
    }
    home.msb(["wait", "web", "--for", "healthy", "--timeout", "60s"]).exits(0);
    assert_eq!(home.sandbox("web")["health"], "passing");

    let says = |status: &str| {
        let script = format!("echo 'Status: {status}' >/says");
        home.msb(["exec", "web", "--", "sh", "-c", &script]).exits(0);
    };
    let is = |word: &str| (home.sandbox("web")["phase"] == *word).then_some(());
    says("500 Broken");
    eventually("it degrades", PATIENCE, || is("degraded"));
    home.msb(["ps"]).exits(0).says(&["Degraded", "failing"]);
    says("200 Well");
    eventually("it is well again", PATIENCE, || is("ready"));

    // Somewhere else is asked from now on, of the same machine.
    let before = pids(&home);
    home.write(
        "Sandboxfile",
        &PROBED.replace("healthz\" port=8080; interval", "gone\" port=8080; interval"),
    );
    home.msb(["diff"]).exits(2).says(&["health.probe", "live"]);
    home.msb(["up"]).exits(0);
    eventually("it degrades", PATIENCE, || is("degraded"));
    assert_eq!(pids(&home), before);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

#[test]
fn a_gate_that_was_missed_names_the_answer_and_opens_all_the_same() {
    let home = Home::machine();
    home.write(
        "Sandboxfile",
        r#"
project "late"
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "1s"
    command "sh" "-c" "mkdir /www; exec httpd -f -p 8080 -h /www"
    ready { http "/healthz" port=8080; timeout "3s" }
}
"#,
    );
    let up = home.msb(["up"]).exits(124);
    assert!(up.stderr.contains("Stalled(not-ready)"), "{up}");
    assert!(up.stderr.contains(", probe http /healthz: 404"), "{up}");
    home.msb(["exec", "web", "--", "sh", "-c", "echo fine >/www/healthz"]).exits(0);
    let is_ready = || (home.sandbox("web")["phase"] == "ready").then_some(());
    eventually("the gate opens", PATIENCE, is_ready);
    home.msb(["down"]).exits(0);
    reversed(&home);
}
