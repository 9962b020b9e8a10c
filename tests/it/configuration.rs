//! `config.kdl` of the home: honoured under flags and variables, refused where it says nothing known.

use std::fmt::Write as _;

use tests::home::{Home, put};

fn configured(text: &str) -> Home {
    let home = Home::process();
    put(&home.path().join("config.kdl"), text);
    home
}

#[test]
fn a_wrong_configuration_ends_every_command_with_its_place() {
    let home = configured("color \"never\"\nlimits { instanses 5 }\n");
    for line in [&["ps"][..], &["list"], &["fmt"], &["doctor"], &["run", "builtin:base", "true"]] {
        let mut command = home.command();
        command.args(line);
        let run = home.spawn(command).wait(home.rung().patience());
        assert_eq!(run.code, 65, "{run}");
        for part in ["msb::config::invalid", "config.kdl:2:10", "`instances`"] {
            assert!(run.stderr.contains(part), "{part}: {run}");
        }
    }
    assert!(!home.path().join("db").exists(), "nothing was made");
    let page = Home::process().msb(["explain", "config::invalid"]).exits(0).stdout;
    assert!(page.contains("config.kdl"), "{page}");
}

#[test]
fn a_key_that_nothing_honours_yet_is_refused_by_name() {
    let home = configured("overcommit 1.5\n");
    let run = home.msb(["ps"]);
    assert!(run.code == 65 && run.stderr.contains("overcommit: not supported yet"), "{run}");
    assert!(run.stderr.contains("msb::schema::not-yet"), "{run}");
}

#[test]
fn a_flag_beats_a_variable_beats_the_configuration() {
    let home = configured("color \"always\"\nlog-level \"trace\"\n");
    let colour = |args: &[&str], variable: Option<(&str, &str)>| {
        let mut command = home.command();
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").args(args);
        command.envs(variable);
        let run = home.spawn(command).wait(home.rung().patience());
        assert_eq!(run.code, 1, "{run}");
        run.stderr.contains('\u{1b}')
    };
    assert!(colour(&["stop", "nobody"], None));
    assert!(!colour(&["stop", "nobody"], Some(("NO_COLOR", "1"))));
    assert!(!colour(&["stop", "nobody", "--color", "never"], None));
    assert!(colour(&["stop", "nobody", "--color", "always"], Some(("NO_COLOR", "1"))));
}

#[test]
fn sf_f11_limits_are_raised_by_the_configuration_alone() {
    let many = |count: usize| {
        let image = "image \"builtin:base\"; command \"true\"";
        format!("project \"fleet\"\njob \"shard\" {{ {image}; replicas {count} }}\n")
    };
    let home = Home::process();
    home.write("Sandboxfile", &many(1001));
    let run = home.msb(["validate"]);
    assert!(run.code == 65 && run.stderr.contains("msb::limit::instances"), "{run}");
    let home = configured("limits { instances 1001; file-bytes \"2MiB\" }\n");
    home.write("Sandboxfile", &many(1001));
    home.msb(["validate"]).exits(0);
    let mut long = many(2);
    for line in 0..40_000 {
        let _ = writeln!(long, "// a line of many, number {line}");
    }
    assert!(long.len() > 1 << 20);
    home.write("Sandboxfile", &long);
    home.msb(["config"]).exits(0);
}

#[test]
fn what_run_and_create_make_follows_the_defaults_and_a_file_does_not() {
    let home = configured("defaults { cpus 3; memory \"256MiB\"; shell \"/bin/ash\" }\n");
    home.msb(["create", "--name", "box", "--memory", "128MiB", "builtin:base", "sleep", "1000"])
        .exits(0);
    let told = home.msb(["inspect", "box", "--json"]).exits(0).stdout;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let text = told.to_string();
    assert!(text.contains("\"cpus\":{\"count\":3,\"max\":3}"), "{text}");
    assert!(text.contains("134217728") && !text.contains("268435456"), "{text}");
    home.write("Sandboxfile", "project \"shop\"\nsandbox \"web\" { image \"builtin:base\" }\n");
    let read = home.msb(["config", "--json"]).exits(0).stdout;
    assert!(!read.contains("268435456"), "{read}");
    home.msb(["rm", "-f", "box"]).exits(0);
}

#[test]
fn what_is_to_stay_free_on_the_host_is_one_number_for_all_who_write_there() {
    let home = configured("");
    let file = "project \"shop\"\nsandbox \"box\" { image \"builtin:base\"; \
                command \"sleep\" \"1000\" }\n";
    home.write("Sandboxfile", file);
    home.msb(["up"]).exits(0);
    let make_one = ["exec", "box", "sh", "-c", "echo one > \"$MSB_ROOT/one\""];
    home.msb(make_one).exits(0);
    put(&home.path().join("config.kdl"), "disk-reserve \"1000TiB\"\n");
    home.msb(["cp", "box:/one", "one"]).exits(1).complains(&["transfer::no-room"]);
    assert!(!home.project().join("one").exists());
    home.msb(["down"]).exits(0);
    let run = home.msb(["up"]).exits(1);
    run.complains(&["msb::host::disk-space", "MiB free", "1000 TiB", "`disk-reserve`"]);
    assert!(home.msb(["ps", "-q"]).stdout.is_empty(), "nothing was made");
    assert!(home.msb(["doctor", "--json"]).stdout.contains("1000 TiB"));
    put(&home.path().join("config.kdl"), "disk-reserve \"0B\"\n");
    home.msb(["up"]).exits(0);
    home.msb(make_one).exits(0);
    home.msb(["cp", "box:/one", "one"]).exits(0);
    home.msb(["down"]).exits(0);
}
