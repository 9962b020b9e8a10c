//! Logs of many sandboxes: told apart, followed through whatever happens, and read on where a
//! reader left off; no line is lost or told twice.

use std::time::Duration;

use serde_json::Value;
use tests::home::Home;
use tests::run::eventually;

const JOBS: &str = r#"
project "shop"
job "one" { image "builtin:base"; command "sh" "-c" "for n in 1 2 3 4; do echo apple $n; done" }
job "two" {
    image "builtin:base"
    command "sh" "-c" "echo pear >&2; sleep 0.2; echo '\u{1b}[31mplum\u{1b}[0m'"
    depends-on "one" until="completed"
}
"#;

const DB: &str = r#"
project "shop"
sandbox "db" { image "builtin:base"; command "sh" "-c" "echo db is up; exec sleep 1000" }
"#;

const DB_AND_LATER: &str = r#"
project "shop"
sandbox "db" { image "builtin:base"; command "sh" "-c" "echo db is up; exec sleep 1000" }
sandbox "later-one" { image "builtin:base"; command "sh" "-c" "echo late; exec sleep 1000" }
"#;

fn jobs() -> Home {
    let home = Home::process();
    home.write("Sandboxfile", JOBS);
    home.msb(["up"]).exits(0);
    home
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_reader_goes_on_where_it_left_off() {
    let home = jobs();
    let all = lines(&home.msb(["logs", "--json"]).exits(0).stdout);
    assert_eq!(all.len(), 6);
    for (at, line) in all.iter().enumerate() {
        let cursor = line["cursor"].as_str().unwrap();
        let rest = home.msb(["logs", "--json", "--after", cursor]).exits(0).stdout;
        assert_eq!(lines(&rest), all[at + 1..], "after line {at}");
    }
    let second = all[1]["cursor"].as_str().unwrap();
    let last = home.msb(["logs", "one", "--after", second, "-n", "1"]).exits(0).stdout;
    assert_eq!(last, "apple 4\n");
}

#[test]
fn a_line_that_is_gone_is_told_and_not_passed_over() {
    let home = jobs();
    let all = lines(&home.msb(["logs", "one", "--json"]).exits(0).stdout);
    let cursor = all[0]["cursor"].as_str().unwrap();
    home.msb(["logs", "two", "--after", cursor]).exits(1).complains(&["msb::logs::rotated"]);
    home.msb(["up", "-y", "--recreate"]).exits(0);
    home.msb(["logs", "--after", cursor]).exits(1).complains(&["--since"]);
    home.msb(["logs", "--after", "yesterday"]).exits(64).complains(&["no", "cursor"]);
}

#[test]
fn lines_are_chosen_by_what_they_say_and_when() {
    let home = jobs();
    let grep = home.msb(["logs", "--grep", "[23]$", "--grep", "^plum$"]).exits(0).stdout;
    assert_eq!(grep, "one | apple 2\none | apple 3\ntwo | plum\n");
    home.msb(["logs", "--grep", "("]).exits(64).complains(&["--grep"]);
    let all = lines(&home.msb(["logs", "--json"]).exits(0).stdout);
    let pear = all.iter().find(|line| line["line"] == "pear").unwrap()["ts"].as_str().unwrap();
    let before = home.msb(["logs", "two", "--until", pear]).exits(0).stdout;
    assert_eq!(before, "", "the end does not belong to what is shown");
    let since = home.msb(["logs", "two", "--since", pear]).exits(0).stdout;
    assert_eq!(since, "pear\nplum\n");
    home.msb(["logs", "-f", "--until", "1m"]).exits(64);
}

#[test]
fn a_name_has_its_colour_in_every_run_and_stands_there_itself() {
    let home = jobs();
    let coloured = || home.msb(["logs", "--color", "always"]).exits(0).stdout;
    let first = coloured();
    assert_eq!(first, coloured());
    let start = |name: &str| {
        let of_name = |line: &&str| line.contains(name);
        let line = first.lines().find(of_name).unwrap_or_else(|| panic!("{name}: {first}"));
        line.split_once(name).unwrap().0.to_owned()
    };
    assert!(start("one").starts_with("\u{1b}[38;5;"), "{first:?}");
    // The same name, alone with others around it.
    home.write(
        "Sandboxfile",
        &format!("{JOBS}job \"six\" {{ image \"builtin:base\"; command \"true\" }}\n"),
    );
    home.msb(["up"]).exits(0);
    assert_eq!(first.lines().next(), coloured().lines().next());
}

#[test]
fn the_whole_project_is_followed_through_restarts_and_newcomers() {
    let home = Home::process();
    home.write("Sandboxfile", DB);
    home.msb(["up"]).exits(0);
    let follower = home.start(["logs", "-f"]);
    home.msb(["restart", "db"]).exits(0);
    home.write("Sandboxfile", DB_AND_LATER);
    home.msb(["up"]).exits(0);
    // It looks for newcomers every second, and what it saw it does not forget.
    eventually("the newcomer is seen", Duration::from_secs(20), || {
        home.sandbox("later-one")["phase"].as_str().filter(|phase| *phase == "ready").map(drop)
    });
    tests::run::pause(Duration::from_millis(2500));
    home.msb(["down"]).exits(0);
    let told = follower.wait(home.rung().patience()).exits(0).stdout;
    let ends = |end: &str| told.lines().filter(|line| line.ends_with(end)).count();
    assert_eq!((ends("db is up"), ends("late")), (2, 1), "{told}");
    assert!(told.contains("later-one | late"), "{told}");
}

#[test]
fn programs_follow_the_same_lines_as_they_come() {
    let home = Home::process();
    home.write("Sandboxfile", DB);
    home.msb(["up"]).exits(0);
    let follower = home.start(["logs", "-f", "--json", "db"]);
    home.msb(["restart", "db"]).exits(0);
    home.msb(["stop", "db"]).exits(0);
    let told = lines(&follower.wait(home.rung().patience()).exits(0).stdout);
    let texts: Vec<_> = told.iter().map(|line| line["line"].as_str().unwrap()).collect();
    assert_eq!(texts, ["db is up", "db is up"]);
    let cursor = told[0]["cursor"].as_str().unwrap();
    let rest = home.msb(["logs", "--json", "db", "--after", cursor]).exits(0).stdout;
    assert_eq!(lines(&rest), told[1..]);
}

#[test]
fn no_line_is_lost_where_a_command_comes_back_and_its_log_is_renamed_away() {
    const LINES: usize = 20_000;
    let home = Home::process();
    let long = "x".repeat(600);
    // Slower than what a log takes in a second; both runs together fill it more than twice.
    let folder = home.scratch("work");
    std::fs::create_dir(&folder).unwrap();
    let work = folder.display();
    let script = format!(
        "i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo $i {long}; \
         [ $((i % 100)) = 0 ] && sleep 0.03; done; \
         mkdir {work}/again 2>/dev/null && exit 1; mkdir {work}/done; exec sleep 1000"
    );
    let lines_of_it = "restart \"on-failure\" { delay \"50ms\" }";
    home.write(
        "Sandboxfile",
        &format!(
            "project \"shop\"\nsandbox \"db\" {{\n image \"builtin:base\"\n \
             command \"sh\" \"-c\" #\"{script}\"#\n {lines_of_it}\n}}\n"
        ),
    );
    home.msb(["up"]).exits(0);
    let follower = home.start(["logs", "-f", "--json", "db"]);
    eventually("both have printed all", Duration::from_secs(120), || {
        folder.join("done").exists().then_some(())
    });
    home.msb(["down"]).exits(0);
    let told = follower.wait(home.rung().patience()).exits(0).stdout;
    let (mut wanted, mut turns) = (1, 0);
    for line in lines(&told).iter().filter(|line| line["source"] != "system") {
        assert_eq!(line["type"], "line", "{line}");
        let number: usize =
            line["line"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(number, wanted, "after {turns} turns");
        (wanted, turns) = if number == LINES { (1, turns + 1) } else { (number + 1, turns) };
    }
    assert_eq!((wanted, turns), (1, 2), "both runs are heard to their ends");
}
