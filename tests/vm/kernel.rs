//! The kernel that runs is the one that was asked for, option by option.

use std::fs;

use tests::home::Home;
use tests::programs::checkout;

#[test]
fn every_option_of_the_list_is_in_the_kernel_that_runs() {
    let home = Home::machine();
    let run =
        home.msb(["run", "-m", "96MiB", "builtin:base", "--", "zcat", "/proc/config.gz"]).exits(0);
    let list = fs::read_to_string(checkout().join("runtime/kernel/config")).unwrap();
    let mut lost = Vec::new();
    for line in list.lines().filter(|line| line.starts_with("CONFIG_")) {
        let is_there = match line.strip_suffix("=n") {
            Some(name) => !run.stdout.lines().any(|have| have.starts_with(&format!("{name}="))),
            None => run.stdout.lines().any(|have| have == line),
        };
        if !is_there {
            lost.push(line);
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(list.lines().count() > 200, "the list is the whole list");
}
