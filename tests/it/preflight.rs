//! `msb validate --preflight`: what a host lacks for a file, before anybody runs it.

use serde_json::Value;
use tests::home::Home;
use tests::oracle::{gone, reversed};

const LACKING: &str = r#"
project "shop"
sandbox "db" { image "builtin:base"; env { KEY from-env="NOT_THERE" } }
sandbox "web" { image "nobody:1" pull="never"; port guest=80 host=8080 }
"#;

fn codes(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().filter_map(|row| row["code"].as_str()).collect()
}

#[test]
fn sf_5_what_the_host_lacks_is_told_all_at_once_and_only_when_asked() {
    let home = Home::process();
    home.write("Sandboxfile", LACKING);
    home.msb(["validate"]).exits(0).says(&["valid, 2 sandboxes"]);
    let run = home.msb(["validate", "--preflight"]).exits(1).says(&["valid, 2 sandboxes"]);
    run.complains(&[
        "web: image nobody:1",
        "web: the driver process has no network",
        "db: the value of KEY",
    ]);
    let told = home.msb(["validate", "--preflight", "--json"]).exits(1).json();
    assert_eq!((&told["ok"], &told["problems"]), (&false.into(), &Value::Array(Vec::new())));
    let found = codes(&told["preflight"]);
    for code in ["msb::image::not-found", "msb::host::driver-limit", "msb::env::missing"] {
        assert!(found.contains(&code), "{code}: {found:?}");
    }
    let row = &told["preflight"][0];
    assert_eq!((&row["project"], &row["exit_code"]), (&"shop".into(), &1.into()), "{row}");
    assert!(!home.path().join("db").exists(), "nothing was made");
}

#[test]
fn an_up_that_is_refused_before_anything_is_made_leaves_nothing() {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        "project \"a\"\nsandbox \"x\" { image \"nobody:1\" pull=\"never\" }\n",
    );
    home.msb(["up"]).exits(1).complains(&["nobody:1"]);
    gone(&home);
    home.write("Sandboxfile", "project \"a\"\nsandbox \"x\" { image \"builtin:base\" }\n");
    home.msb(["up"]).exits(0);
    reversed(&home);
}

#[test]
fn sf_d1_the_host_is_asked_only_about_files_that_are_valid() {
    let home = Home::process();
    home.write("good.kdl", "project \"a\"\nsandbox \"x\" { image \"builtin:base\" }\n");
    home.write("bad.kdl", "project \"b\"\nsandbox \"x\" { image \"nobody:1\"; cpuss 1 }\n");
    home.write("lacking.kdl", LACKING);
    home.msb(["validate", "good.kdl", "--preflight"]).exits(0).says(&["good.kdl: valid"]);
    let files = ["validate", "good.kdl", "bad.kdl", "lacking.kdl", "--preflight", "--json"];
    let told = home.msb(files).exits(65).json();
    assert_eq!(codes(&told["problems"]), ["msb::schema::unknown-key"]);
    assert!(told["preflight"].as_array().unwrap().iter().all(|row| row["project"] == "shop"));
}

#[test]
fn a_host_on_which_no_driver_can_be_proved_ends_it_with_69_and_the_rest_beside() {
    let home = Home::process();
    home.write("Sandboxfile", LACKING);
    let mut command = home.command();
    command.env_remove("MSB_DRIVER").env("MSB_KERNEL", home.scratch("no-kernel"));
    command.env("MSB_QEMU", home.scratch("no-qemu")).args(["validate", "--preflight", "--json"]);
    let run = home.spawn(command).wait(home.rung().patience()).exits(69);
    let told = run.json();
    assert_eq!(codes(&told["preflight"])[0], "msb::driver::none");
    assert!(codes(&told["preflight"]).contains(&"msb::env::missing"), "{told}");
}

#[test]
fn sf_f12_a_strangers_file_is_not_held_against_the_host() {
    let home = Home::process();
    home.write("Sandboxfile", LACKING);
    home.msb(["validate", "--preflight", "--untrusted"]).exits(64);
}

#[test]
fn sf_l3_validate_refuses_under_locked_what_is_not_pinned() {
    let home = Home::process();
    home.write("Sandboxfile", LACKING);
    home.msb(["validate", "--locked"]).exits(65).complains(&["the lock does not pin it"]);
}
