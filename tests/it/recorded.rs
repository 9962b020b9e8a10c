//! `msb create --no-start`: a sandbox that is wished for, and boots when somebody starts it.

use tests::home::Home;
use tests::machines;

#[test]
fn a_sandbox_that_is_only_recorded_is_listed_starts_and_goes() {
    let home = Home::process();
    let create = ["create", "--no-start", "--name", "box", "-e", "A=1", "builtin:base"];
    home.msb(create).exits(0).says(&["box"]);
    assert!(machines::of(&home).is_empty(), "nothing was made for it");
    let row = home.sandbox("box");
    assert_eq!((&row["phase"], &row["id"]), (&"absent".into(), &serde_json::Value::Null), "{row}");
    home.msb(["list"]).exits(0).says(&["box", "Absent"]);
    assert!(!home.msb(["list", "--running"]).exits(0).stdout.contains("box"));
    let taken = home.msb(create).exits(1);
    assert!(taken.stderr.contains("box exists already"), "{taken}");
    home.msb(["exec", "box", "true"]).exits(1).complains(&["msb start"]);

    home.msb(["start", "box"]).exits(0);
    let said = home.msb(["exec", "box", "sh", "-c", "echo $A"]).exits(0).stdout;
    assert_eq!(said, "1\n");
    home.msb(["rm", "-f", "box"]).exits(0);

    // What was never started goes just the same, and another command does not sweep it away.
    home.msb(create).exits(0);
    home.msb(["run", "--rm", "builtin:base", "true"]).exits(0);
    assert_eq!(home.sandbox("box")["phase"], "absent");
    home.msb(["rm", "box"]).exits(0);
    assert!(!home.msb(["list"]).exits(0).stdout.contains("box"));

    let both = home.msb(["create", "--no-start", "--replace", "--name", "box", "builtin:base"]);
    assert!(both.code == 64 && both.stderr.contains("--replace"), "{both}");
}
