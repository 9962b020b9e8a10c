//! SF-R10 through the program: a reading that is recalled plans as the one before did.

use std::fmt::Write as _;
use std::fs;

use tests::home::Home;

/// More text than is read each time.
fn file(memory: &str) -> String {
    let mut file = "project \"shop\"\n".to_owned();
    for at in 0..450 {
        let env = format!("env {{ AT \"{at:0150}\" }}");
        let node = format!("image \"builtin:base\"; memory \"{memory}\"; {env}");
        writeln!(file, "sandbox \"s{at}\" {{ {node} }}").expect("a text takes any line");
    }
    file
}

fn models(home: &Home) -> usize {
    fs::read_dir(home.path().join("cache/models")).map_or(0, Iterator::count)
}

#[test]
fn sf_r10_a_recalled_reading_plans_as_the_first_one_did_and_places_stay() {
    let home = Home::process();
    home.msb(["volume", "create", "any", "--kind", "disk", "--size", "64MiB"]).exits(0);
    home.write("Sandboxfile", &file("64MiB"));
    let diff = || home.msb(["diff", "--json", "s7", "s8"]).exits(2);
    let (first, recalled) = (diff(), diff());
    assert_eq!(models(&home), 1, "{first}");
    assert_eq!(first.json(), recalled.json());
    let places = recalled.stdout.matches("\"line\":9").count();
    assert!(places > 0, "s7 is written in line 9: {recalled}");
    let full = || home.msb(["diff", "--full", "s7"]).exits(2);
    assert_eq!(full().stdout, full().stdout);
    // Another text is another reading, and so is the file that was there before.
    home.msb(["up", "s7"]).exits(0);
    home.msb(["diff", "s7"]).exits(0);
    home.write("Sandboxfile", &file("96MiB"));
    home.msb(["diff", "s7"]).exits(2);
    home.write("Sandboxfile", &file("64MiB"));
    home.msb(["diff", "s7"]).exits(0);
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_r10_what_validate_ps_and_a_home_without_a_state_read_is_not_kept() {
    let home = Home::process();
    home.write("Sandboxfile", &file("64MiB"));
    home.msb(["diff"]).exits(2);
    assert_eq!(models(&home), 0);
    home.msb(["volume", "create", "any", "--kind", "disk", "--size", "64MiB"]).exits(0);
    home.msb(["validate"]).exits(0);
    home.msb(["ps"]).exits(0);
    assert_eq!(models(&home), 0);
}
