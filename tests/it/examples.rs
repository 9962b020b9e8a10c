//! Every example: its diff reads as in its golden file, it comes up, and it goes again.

use examples::ALL;
use tests::golden;
use tests::home::Home;
use tests::oracle::{converged, reversed};

#[test]
fn each_example_reads_comes_up_and_goes() {
    for example in ALL {
        let home = Home::process();
        home.write(example.file, example.text);
        home.prepare(example.prepare);
        home.msb(["fmt", "--check"]).exits(0);
        let diff = home.msb(["diff"]).exits(2);
        golden::check(&format!("example_{}", example.name), &golden::steady(&home, &diff.stdout));
        let made = example.instances + example.volumes;
        home.msb(["up"]).exits(0).says(&[&format!("Up: {made} done")]);
        assert_eq!(home.ps().len(), example.instances, "{}", example.name);
        converged(&home);
        reversed(&home);
    }
}

#[test]
fn each_example_says_how_to_try_it() {
    for example in ALL {
        let readme =
            tests::programs::checkout().join("examples").join(example.name).join("README.md");
        let text = std::fs::read_to_string(&readme).unwrap_or_default();
        assert!(text.contains("msb up"), "{}", readme.display());
        assert!(text.lines().count() <= 20, "{}", readme.display());
    }
}
