//! Two checkouts of one project on one host: the second never acts on what the first brought up.

use tests::home::{Home, put};
use tests::oracle::nothing_lives;
use tests::run::Run;

const FILE: &str = "sandbox \"web\" { image \"builtin:base\" }\n";

/// Runs `msb` in another folder whose name is that of the project too.
fn in_the_other<const N: usize>(home: &Home, args: [&str; N]) -> Run {
    let folder = home.scratch("other").join("shop");
    let mut command = home.command();
    command.args(args).current_dir(folder);
    home.spawn(command).wait(home.rung().patience())
}

#[test]
fn sf_i3_a_second_checkout_of_the_same_name_leaves_the_first_alone() {
    let home = Home::process();
    home.write("Sandboxfile", FILE);
    std::fs::create_dir_all(home.scratch("other").join("shop")).unwrap();
    put(&home.scratch("other").join("shop/Sandboxfile"), FILE);
    home.msb(["up"]).exits(0);
    let alive = || format!("{:?}", home.alive());
    let before = alive();
    assert!(!home.alive().is_empty());
    let there = home.project().display().to_string();
    for refused in [["up", "-y"], ["down", "-y"], ["stop", "web"], ["kill", "web"]] {
        in_the_other(&home, refused).exits(77).complains(&["msb::owner::elsewhere", &there, "-p"]);
        assert_eq!(alive(), before, "{refused:?}");
    }
    in_the_other(&home, ["-p", "shop2", "up"]).exits(0);
    in_the_other(&home, ["-p", "shop2", "down"]).exits(0);
    assert_eq!(alive(), before);
    // A name that is given is meant, wherever it is said.
    in_the_other(&home, ["-p", "shop", "down"]).exits(0);
    nothing_lives(&home);
}
