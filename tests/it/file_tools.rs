//! The tools of the file: `init`, `fmt` and `convert` leave what they say, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tests::golden;
use tests::home::Home;
use tests::run::Run;

const UNTIDY: &str =
    "// mine\nsandbox \"web\" {\n  memory \"96MiB\" // little\n  image \"builtin:base\"\n}\n";
const TIDY: &str =
    "// mine\nsandbox \"web\" {\n    image \"builtin:base\"\n    memory \"96MiB\" // little\n}\n";

/// Runs `msb` with any number of words.
fn run(home: &Home, words: &[&str]) -> Run {
    let mut command = home.command();
    command.args(words);
    home.spawn(command).wait(Duration::from_secs(60))
}

fn read(home: &Home, name: &str) -> String {
    fs::read_to_string(home.project().join(name)).unwrap()
}

#[test]
fn sf_x4_fmt_lays_out_and_keeps_comments_and_modes() {
    let home = Home::process();
    home.write("Sandboxfile", UNTIDY);
    let path = home.project().join("Sandboxfile");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let check = home.msb(["fmt", "--check"]).exits(1);
    assert_eq!(
        (check.stdout.as_str(), read(&home, "Sandboxfile").as_str()),
        ("Sandboxfile\n", UNTIDY)
    );
    let run = home.msb(["fmt"]).exits(0);
    assert_eq!((run.stdout.as_str(), read(&home, "Sandboxfile").as_str()), ("Sandboxfile\n", TIDY));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(home.msb(["fmt"]).exits(0).stdout, "");
    assert_eq!(home.msb(["fmt", "--check"]).exits(0).stdout, "");
    assert_eq!(fs::read_dir(home.project()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn sf_x4_fmt_leaves_a_broken_file_alone_and_lays_out_the_others() {
    let home = Home::process();
    home.write("broken.kdl", "sandbox \"a\" {\n  memory 512MiB\n  cpus = 1\n}\n");
    home.write("untidy.kdl", UNTIDY);
    home.write("list.yaml", "sandboxes: [\n");
    let run = home.msb(["fmt", "broken.kdl", "untidy.kdl", "list.yaml"]).exits(65);
    run.complains(&[
        "broken.kdl:2:10: error[msb::syntax::needs-quotes]",
        "broken.kdl:3:8: error[msb::syntax::equals-sign]",
        "list.yaml",
    ]);
    assert!(read(&home, "broken.kdl").contains("cpus = 1"));
    assert_eq!(read(&home, "untidy.kdl"), TIDY);
}

#[test]
fn fmt_filters_and_only_checks_yaml() {
    let home = Home::process();
    home.write("a.yaml", "sandboxes:   {a:  {image: 'builtin:base'}}\n");
    assert_eq!(home.msb(["fmt", "a.yaml"]).exits(0).stdout, "");
    assert!(read(&home, "a.yaml").contains(":   {"));
    home.write("in.kdl", UNTIDY);
    let rows = home.msb(["fmt", "in.kdl", "--check", "--json"]).exits(1).stdout;
    assert_eq!(rows, "[{\"changed\":true,\"format\":\"kdl\",\"path\":\"in.kdl\",\"text\":null}]\n");
    let run = home.msb_reading(["fmt", "-"], &home.project().join("in.kdl")).exits(0);
    assert_eq!(run.stdout, TIDY);
}

#[test]
fn sf_t14_above_the_guard_an_edit_is_refused_and_reading_is_not() {
    let home = Home::process();
    let comment = "// a comment that makes the file long\n".repeat(7000);
    home.write("Sandboxfile", &format!("{comment}{TIDY}"));
    home.msb(["validate"]).exits(0);
    for command in [&["fmt"][..], &["convert", "Sandboxfile", "--to", "yaml"]] {
        run(&home, command).exits(65).complains(&["msb::limit::edit", "256 KiB"]);
    }
}

#[test]
fn sf_x3_convert_changes_the_format_only_and_says_what_is_lost() {
    let home = Home::process();
    let text = "// one\nvar \"TAG\" default=\"3.10\" // two\ntemplate \"base\" { memory \"96MiB\" }\n\
                sandbox \"web\" { from \"base\"; image \"app:${TAG}\"; command #null; /-cpus 2 }\n";
    home.write("Sandboxfile", text);
    let run = home.msb(["convert", "Sandboxfile", "--to", "yaml", "-o", "out.yaml"]).exits(0);
    run.complains(&["2 comments and 1 slashdash lost"]);
    let yaml = read(&home, "out.yaml");
    assert!(yaml.starts_with("# yaml-language-server: $schema=https://"), "{yaml}");
    golden::check("converted", &yaml);
    let back = home.msb(["convert", "out.yaml", "--to", "kdl"]).exits(0);
    let back = back.complains(&["0 comments lost"]);
    golden::check("converted_back", &back.stdout);
    for path in ["Sandboxfile", "out.yaml"] {
        let diff = home.msb(["-f", path, "diff", "--json"]);
        let plan: serde_json::Value = serde_json::from_str(&diff.stdout).unwrap();
        assert_eq!(plan["summary"]["create"], 1, "{diff}");
    }
}

#[test]
fn convert_replaces_nothing_without_being_told() {
    let home = Home::process();
    home.write("Sandboxfile", TIDY);
    home.write("out.yaml", "mine");
    let to = ["convert", "Sandboxfile", "--to", "yaml", "-o", "out.yaml"];
    home.msb(to).exits(77).complains(&["msb::consent::needed", "--force"]);
    assert_eq!(read(&home, "out.yaml"), "mine");
    run(&home, &[&to[..], &["--force"]].concat()).exits(0);
    assert!(read(&home, "out.yaml").contains("builtin:base"));
    home.msb(["convert", "out.yaml", "--to", "yaml"]).exits(64);
    home.msb(["-f", "out.yaml", "convert", "Sandboxfile", "--to", "yaml"]).exits(64);
    home.msb(["convert", "Sandboxfile", "--to", "yaml", "-o", "out.kdl"]).exits(64);
    home.write("empty.yaml", "sandboxes: {a: {env-file: []}}\n");
    home.msb(["convert", "empty.yaml", "--to", "kdl"]).exits(65).complains(&["empty.yaml:1:17"]);
}

#[test]
fn init_writes_a_file_that_is_valid_plans_and_is_laid_out() {
    for format in ["kdl", "yaml"] {
        let home = Home::process();
        let run = home.msb(["init", "--format", format, "--name", "shop"]).exits(0);
        let name = if format == "kdl" { "Sandboxfile" } else { "Sandboxfile.yaml" };
        let said = format!("created {name}: project shop, sandbox app; next: msb up\n");
        assert_eq!(run.stdout, said);
        home.msb(["validate"]).exits(0).says(&["1 sandbox"]);
        home.msb(["fmt", "--check"]).exits(0);
        let plan = home.msb(["diff"]).exits(2);
        plan.says(&["sandbox.app", "alpine:3.20"]);
        assert!(!home.path().join("db").exists(), "reading makes no state");
    }
}

#[test]
fn init_never_takes_the_place_of_another_file() {
    let home = Home::process();
    home.write("Sandboxfile.kdl", TIDY);
    home.msb(["init"]).exits(77).complains(&["Sandboxfile.kdl exists already"]);
    home.msb(["init", "--force"]).exits(77).complains(&["one too many"]);
    assert!(!home.project().join("Sandboxfile").exists());
    let run = home.msb(["init", "shop", "--image", "builtin:base", "--json"]).exits(0);
    assert_eq!(
        run.stdout,
        "{\"format\":\"kdl\",\"path\":\"shop/Sandboxfile\",\"project\":\"shop\",\"sandbox\":\"app\"}\n"
    );
    home.msb(["init", "shop"]).exits(77).complains(&["--force"]);
    home.msb(["init", "shop", "--force", "--name", "other"]).exits(0);
    assert!(read(&home, "shop/Sandboxfile").contains("project \"other\""));
    home.msb(["init", "x", "--name", "adhoc"]).exits(64);
    home.msb(["init", "x", "--image", "Not An Image"]).exits(64);
    assert!(!home.project().join("x").exists());
}

#[test]
fn sf_t13_every_command_that_reads_lists_all_mistakes_of_grammar() {
    let home = Home::process();
    home.write("Sandboxfile", "sandbox \"a\" {\n  memory 512MiB\n  cpus = 1\n  protect true\n}\n");
    for command in ["validate", "up", "diff", "plan", "ps", "down"] {
        let run = home.msb([command]).exits(65);
        run.complains(&["needs-quotes", "equals-sign", "kdl-v1", "3 problems"]);
    }
    let told = home.msb(["validate"]).stderr;
    golden::check("all_mistakes", &golden::steady(&home, &told));
}
