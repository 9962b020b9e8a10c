//! Volumes by hand: made, listed, removed to the trash, taken back, gone for good.

use std::fs;
use std::time::Duration;

use orchestrator::store::{self, Rows};
use tests::home::{Home, put};
use tests::oracle::clean;

const SHOP: &str = r#"
project "shop"
volume "data" { kind "disk"; size "16MiB"; labels { tier "db" } }
volume "kept" { kind "disk"; size "16MiB"; lifecycle { protect #true } }
sandbox "db" { image "builtin:base"; command "sleep" "1000"; mount "/data" { named "data" } }
"#;

const DISK: [&str; 4] = ["--kind", "disk", "--size", "16MiB"];

fn create(home: &Home, name: &str) {
    home.msb_with(&[&["volume", "create", name][..], &DISK].concat()).exits(0).says(&[name]);
}

fn names(home: &Home, words: &[&str]) -> Vec<String> {
    let run = home.msb_with(&[&["volume", "ls", "-q"][..], words].concat()).exits(0);
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_removed_can_be_restored_with_what_it_held() {
    let home = Home::process();
    create(&home, "data");
    let disk = home.path().join("volumes/data/disk.raw");
    put(&disk, "precious");
    home.msb(["volume", "rm", "data"]).exits(0).says(&["trashed data", "msb volume restore data"]);
    assert!(names(&home, &[]).is_empty() && !disk.exists());
    assert_eq!(names(&home, &["--trash"]), ["data"]);
    create(&home, "data");
    home.msb(["volume", "restore", "data"]).exits(1).complains(&["already"]);
    home.msb(["volume", "restore", "data", "--as", "old"]).exits(0).says(&["old"]);
    assert_eq!(names(&home, &[]), ["data", "old"]);
    assert!(names(&home, &["--trash"]).is_empty());
    let old = home.path().join("volumes/old/disk.raw");
    assert_eq!(fs::read_to_string(old).unwrap(), "precious");
    home.msb(["volume", "restore", "data"]).exits(1).complains(&["in the trash"]);
    home.msb(["volume", "inspect", "old"]).exits(0).says(&["trash-volume done", "move done"]);
    clean(&home);
}

#[test]
fn a_name_is_taken_once_and_if_missing_takes_what_agrees() {
    let home = Home::process();
    create(&home, "data");
    let again = |more: &[&str]| {
        home.msb_with(&[&["volume", "create", "data", "--kind", "disk"][..], more].concat())
    };
    again(&["--size", "16MiB"]).exits(1).complains(&["already", "--if-missing"]);
    again(&["--size", "16MiB", "--if-missing"]).exits(0).says(&["data"]);
    again(&["--size", "32MiB", "--if-missing"]).exits(1).complains(&["size 16 MiB, not 32 MiB"]);
    again(&[]).exits(64).complains(&["needs a size"]);
    again(&["--size", "1MiB"]).exits(64).complains(&["16 MiB to 16 TiB"]);
    again(&["--size", "16MiB", "--quota", "1GiB"]).exits(64).complains(&["--quota"]);
    home.msb(["volume", "create", "x", "--size", "1GiB"]).exits(64).complains(&["--kind disk"]);
    home.msb(["volume", "create", "x"]).exits(0);
    let folder = |more: &[&str]| home.msb_with(&[&["volume", "create", "x"][..], more].concat());
    folder(&["--if-missing"]).exits(0);
    folder(&["--if-missing", "--quota", "1GiB"]).exits(1).complains(&["quota 10 GiB, not 1 GiB"]);
    folder(&["--kind", "disk", "--size", "16MiB", "--if-missing"])
        .exits(1)
        .complains(&["kind dir, not disk"]);
    home.msb(["volume", "create", "shop/x"]).exits(64).complains(&["made by its file"]);
}

#[test]
fn a_volume_that_is_used_or_protected_stays() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    home.msb(["volume", "rm", "data"]).exits(77).complains(&["in use by shop/db"]);
    home.msb(["stop", "db"]).exits(0);
    home.msb(["volume", "rm", "data"]).exits(77).complains(&["in use by shop/db"]);
    home.msb(["volume", "rm", "shop/kept"]).exits(77).complains(&["kept is protected"]);
    home.msb(["volume", "rm", "data", "nothing"]).exits(1).complains(&["no volume `nothing`"]);
    assert_eq!(names(&home, &["--label", "tier=db"]), ["data"]);
    assert!(names(&home, &["--label", "tier=web"]).is_empty());
    home.msb(["down"]).exits(0);
    home.msb(["volume", "rm", "data"]).exits(0).says(&["trashed shop/data"]);
    home.msb(["volume", "restore", "shop/data"]).exits(0).says(&["shop/data"]);
    home.msb(["up"]).exits(0);
    home.msb(["diff"]).exits(0);
    home.msb(["down"]).exits(0);
}

#[test]
fn what_cannot_be_undone_needs_consent() {
    let home = Home::process();
    create(&home, "data");
    let refused = home.msb(["volume", "rm", "data", "--purge"]).exits(77);
    refused.complains(&["needs your consent", "--yes-delete-data"]);
    home.msb(["volume", "rm", "data", "--purge", "--yes-delete-data"]).exits(0);
    assert!(names(&home, &[]).is_empty() && names(&home, &["--trash"]).is_empty());
    create(&home, "data");
    home.msb(["volume", "rm", "data"]).exits(0);
    home.msb(["volume", "rm", "data", "--purge", "--yes-delete-data"]).exits(0);
    assert!(names(&home, &["--trash"]).is_empty());
    assert_eq!(fs::read_dir(home.path().join("volumes/.trash")).unwrap().count(), 0);
    clean(&home);
}

#[test]
fn sf_a13_how_long_the_trash_keeps_is_configured() {
    let home = Home::process();
    for name in ["old", "young"] {
        create(&home, name);
        home.msb(["volume", "rm", name]).exits(0);
    }
    let hours_ago = |hours: u32, name: &str| {
        format!(
            "UPDATE volume SET trashed_at = strftime('%Y-%m-%dT%H:%M:%S.000+00:00', 'now', \
             '-{hours} hours') WHERE name = '{name}'"
        )
    };
    let db = Rows::open(store::path(&home.path())).unwrap();
    db.execute_batch(&hours_ago(100, "old")).unwrap();
    db.execute_batch(&hours_ago(30, "young")).unwrap();
    put(&home.path().join("config.kdl"), "trash-keep \"2d\"\n");
    let told = home.msb(["volume", "ls", "--trash", "--json"]).exits(0).json();
    assert!(told[1]["restore_until"].as_str() > told[0]["restore_until"].as_str(), "{told}");
    create(&home, "other");
    assert_eq!(names(&home, &["--trash"]), ["young"]);
    put(&home.path().join("config.kdl"), "");
    create(&home, "another");
    assert!(names(&home, &["--trash"]).is_empty(), "a day is what is built in");
}

#[test]
fn sf_a13_the_trash_is_emptied_of_what_is_a_day_old_by_the_next_change() {
    let home = Home::process();
    for name in ["old", "young", "gone"] {
        create(&home, name);
        home.msb(["volume", "rm", name]).exits(0);
    }
    let db = Rows::open(store::path(&home.path())).unwrap();
    let age = "UPDATE volume SET trashed_at = '2020-01-01T00:00:00.000+00:00' WHERE name = 'old'";
    db.execute_batch(age).unwrap();
    // One whose removal for good was killed after its rename.
    let gone: String =
        db.query_row("SELECT id FROM volume WHERE name = 'gone'", [], |row| row.get(0)).unwrap();
    let trash = home.path().join("volumes/.trash");
    fs::rename(trash.join(&gone), trash.join(format!("{gone}.gone"))).unwrap();
    assert_eq!(names(&home, &["--trash"]), ["gone", "old", "young"]);
    create(&home, "other");
    assert_eq!(names(&home, &["--trash"]), ["young"]);
    assert_eq!(fs::read_dir(trash).unwrap().count(), 1);
    home.msb(["volume", "restore", "young"]).exits(0);
}

#[test]
fn a_volume_whose_command_is_killed_is_whole_here_or_in_the_trash() {
    let home = Home::process();
    let disk = "volumes/data/disk.raw";
    for delay in (0..24).map(|step| Duration::from_millis(step * 2)) {
        create(&home, "data");
        put(&home.path().join(disk), "precious");
        home.start(["volume", "rm", "data"]).kill_after(delay);
        // The next change settles what was left open.
        create(&home, "other");
        if names(&home, &["--trash"]).is_empty() {
            home.msb(["volume", "rm", "data"]).exits(0);
        }
        home.start(["volume", "restore", "data"]).kill_after(delay);
        home.msb(["volume", "rm", "other", "--purge", "--yes-delete-data"]).exits(0);
        if names(&home, &[]).is_empty() {
            home.msb(["volume", "restore", "data"]).exits(0);
        }
        assert_eq!(fs::read_to_string(home.path().join(disk)).unwrap(), "precious");
        home.start(["volume", "rm", "data", "--purge", "--yes-delete-data"]).kill_after(delay);
        home.start(["volume", "create", "next", "--kind", "disk", "--size", "16MiB"])
            .kill_after(delay);
        create(&home, "other");
        for name in ["data", "next", "other"] {
            home.msb(["volume", "rm", name, "--purge", "--yes-delete-data"]);
        }
        assert!(names(&home, &[]).is_empty() && names(&home, &["--trash"]).is_empty());
        clean(&home);
    }
}

#[test]
fn sf_a13_down_takes_volumes_along_only_with_consent_and_what_is_protected_stays() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    home.msb(["down", "db", "--volumes"]).exits(64);
    let refused = home.msb(["down", "--volumes", "-y"]).exits(77);
    refused.complains(&["consent", "--yes-delete-data"]);
    assert_eq!(home.sandbox("db")["phase"], "ready");
    home.msb(["down", "--volumes", "--dry-run"]).exits(0).says(&["volume.data"]);
    let down = home.msb(["down", "--volumes", "--yes-delete-data", "--json"]).exits(0).json();
    assert_eq!(down["trashed"][0]["address"], "volume.data");
    assert!(down["trashed"][0]["restore_until"].is_string(), "{down}");
    assert_eq!(down["kept"][0]["address"], "volume.kept");
    assert_eq!(down["kept"].as_array().unwrap().len(), 1);
    assert_eq!(names(&home, &[]), ["kept"]);
    clean(&home);
    home.msb(["volume", "restore", "shop/data"]).exits(0);
    home.msb(["up"]).exits(0);
    let down = home.msb(["down", "--volumes", "--yes-delete-data"]).exits(0);
    down.says(&["Down: 1 destroyed, 1 trashed", "Trashed: 1 volume", "Kept: 1 volume"]);
    home.msb(["down", "--volumes", "--yes-delete-data"]).exits(0).says(&["nothing to do"]);
}

#[test]
fn every_project_goes_with_all_projects_once_it_is_agreed() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    home.msb(["create", "builtin:base", "--name", "tool"]).exits(0);
    home.msb(["down", "--all-projects"]).exits(77).complains(&["-y"]);
    home.msb(["down", "--all-projects", "-p", "shop", "-y"]).exits(64);
    home.msb(["down", "--all-projects", "db", "-y"]).exits(64);
    home.msb(["down", "--all-projects", "--volumes", "-y"]).exits(77).complains(&["delete-data"]);
    assert_eq!(home.msb(["list", "-q"]).exits(0).stdout.lines().count(), 2);
    let all = home.msb(["down", "--all-projects", "-y", "--json"]).exits(0).json();
    let of = |at: usize| all[at]["project"]["name"].as_str().unwrap().to_owned();
    assert_eq!((of(0), of(1)), ("adhoc".to_owned(), "shop".to_owned()));
    assert_eq!(home.msb(["list", "-q"]).exits(0).stdout.lines().count(), 0);
    home.msb(["down", "--all-projects"]).exits(0).says(&["nothing to do"]);
    clean(&home);
}
