//! `adopt volume.NAME` makes a file's what was nobody's: the folder moves, what it holds stays.

use std::fs;

use orchestrator::store::{self, Rows};
use serde_json::Value;
use tests::home::{Home, put};
use tests::oracle::{clean, converged};

const TEXT: &str = "// mine\nproject \"shop\" { labels { team \"core\" } }\n\n\
                    sandbox \"web\" { image \"builtin:base\"; memory \"96MiB\"; \
                    command \"sleep\" \"1000\" } // last\n";

fn create(home: &Home, more: &[&str]) {
    let words = ["volume", "create", "data", "--kind", "disk", "--size", "16MiB"];
    home.msb_with(&[&words[..], more].concat()).exits(0);
    put(&home.path().join("volumes/data/disk.raw"), "precious");
}

fn file(home: &Home) -> String {
    fs::read_to_string(home.project().join("Sandboxfile")).unwrap()
}

/// Holds that a volume is the project's, in its row, its marker and its folder, with what it held.
fn is_shops(home: &Home, name: &str) {
    let folder = home.path().join(format!("volumes/shop.{name}"));
    assert_eq!(fs::read_to_string(folder.join("disk.raw")).unwrap(), "precious");
    assert!(!home.path().join("volumes/data").exists());
    let marker: Value = serde_json::from_slice(&fs::read(folder.join("volume")).unwrap()).unwrap();
    let db = Rows::open(store::path(&home.path())).unwrap();
    let sql = "SELECT project.id FROM volume JOIN project ON project.id = project_id \
               WHERE volume.name = ?1 AND volume.folder = 'shop.' || ?1 AND project.name = 'shop'";
    let owner: String = db.query_row(sql, [name], |row| row.get(0)).unwrap();
    assert_eq!((&marker["project_id"], &marker["name"]), (&owner.into(), &name.into()));
    assert_eq!(marker["project_folder"], home.project().to_str().unwrap());
}

/// Holds that a volume is still nobody's, and the file as it was.
fn is_nobodys(home: &Home, text: &str) {
    assert_eq!(file(home), text);
    let told = home.msb(["volume", "inspect", "adhoc/data", "--json"]).exits(0).json();
    assert_eq!(told[0]["project"], Value::Null, "{told}");
    let disk = home.path().join("volumes/data/disk.raw");
    assert_eq!(fs::read_to_string(disk).unwrap(), "precious");
}

#[test]
fn sf_x2_a_volume_of_nobodys_is_taken_over_with_what_it_holds() {
    let home = Home::process();
    create(&home, &["--label", "tier=db"]);
    home.write("Sandboxfile", TEXT);
    let node = home.msb(["adopt", "volume.data", "--print"]).exits(0).stdout;
    assert!(node.starts_with("volume \"data\" {\n") && node.contains("tier"), "{node}");
    let shape = home.msb(["adopt", "volume.data", "--print", "--json"]).exits(0).json();
    assert_eq!((&shape["address"], &shape["text"]), (&"volume.data".into(), &node.into()));
    is_nobodys(&home, TEXT);
    let run = home.msb(["adopt", "volume.data"]).exits(0);
    assert_eq!(run.stdout, "volume.data: adopted as data, a disk of 16 MiB\n", "{run}");
    let now = file(&home);
    assert!(now.starts_with("// mine\n") && now.contains("} // last\n"), "{now}");
    assert!(now.contains("volume \"data\" {\n"), "{now}");
    is_shops(&home, "data");
    let diff = home.msb(["diff", "--json"]).exits(2).json();
    assert!(!diff["changes"].to_string().contains("volume.data"), "{diff}");
    home.msb(["volume", "inspect", "shop/data"]).exits(0).says(&["move done"]);
    let again = home.msb(["adopt", "volume.data"]).exits(1);
    again.complains(&["msb::volume::not-found", "Project shop has it already"]);
    assert_eq!(file(&home), now);
    home.msb(["up"]).exits(0);
    home.msb(["diff"]).exits(0);
    is_shops(&home, "data");
    home.msb(["down"]).exits(0);
    clean(&home);
}

#[test]
fn sf_x2_a_volume_gets_a_name_of_its_own_or_the_one_that_the_file_has() {
    let home = Home::process();
    create(&home, &[]);
    home.write("Sandboxfile", "project \"shop\"\n");
    let shape = home.msb(["adopt", "volume.adhoc/data", "--as", "store", "--json"]).exits(0).json();
    assert_eq!((&shape["address"], &shape["was"]), (&"volume.store".into(), &"data".into()));
    assert_eq!(shape["line"], 3);
    is_shops(&home, "store");
    home.msb(["diff"]).exits(0);
    // Another one of the old name is another volume.
    create(&home, &[]);
    home.msb(["adopt", "volume.data", "--as", "store"])
        .exits(77)
        .complains(&["has a volume store"]);
    let text =
        "project \"shop\"\nvolume \"store\"\nvolume \"data\" { kind \"disk\"; size \"16MiB\" }\n";
    home.write("Sandboxfile", text);
    home.msb(["adopt", "volume.data", "--as", "more"]).exits(77).complains(&["--as data"]);
    home.msb(["adopt", "volume.data"]).exits(0);
    assert_eq!(file(&home), text);
    is_shops(&home, "data");
    converged(&home);
}

#[test]
fn sf_i6_a_volume_that_is_somebodys_or_used_is_not_taken_over() {
    let home = Home::process();
    create(&home, &[]);
    home.write("Sandboxfile", TEXT);
    home.msb(["adopt", "volume.dat"]).exits(1).complains(&["no volume `dat`", "Name `data`"]);
    home.msb(["adopt", "volume.a_b"]).exits(64);
    let words = ["create", "--name", "one", "-m", "96MiB", "-v", "data:/data", "builtin:base"];
    home.msb_with(&[&words[..], &["--", "sleep", "1000"]].concat()).exits(0);
    let in_use = ["msb::volume::in-use", "in use by adhoc/one"];
    home.msb(["adopt", "volume.data"]).exits(77).complains(&in_use);
    home.msb(["stop", "one"]).exits(0);
    home.msb(["adopt", "volume.data"]).exits(77).complains(&in_use);
    home.msb(["rm", "-f", "one"]).exits(0);
    // What another project has, it keeps.
    let other = "project \"other\"\nvolume \"theirs\" { kind \"disk\"; size \"16MiB\" }\n";
    fs::create_dir(home.project().join("other")).unwrap();
    home.write("other/Sandboxfile", other);
    home.msb(["-f", "other/Sandboxfile", "up"]).exits(0);
    for address in ["volume.theirs", "volume.other/theirs"] {
        let run = home.msb(["adopt", address]).exits(77);
        run.complains(&["msb::owner::foreign", "belongs to project other"]);
    }
    is_nobodys(&home, TEXT);
}

#[test]
fn sf_i6_a_file_that_asks_for_another_volume_takes_none_over() {
    let home = Home::process();
    create(&home, &[]);
    for (node, complaint) in [
        ("volume \"data\" { kind \"disk\"; size \"32MiB\" }", "size 16 MiB → 32 MiB"),
        ("volume \"data\" { external #true }", "Take `external` out"),
        ("volume \"x\" { external #true; host-name \"data\" }", "--as x"),
    ] {
        let text = format!("project \"shop\"\n{node}\n");
        home.write("Sandboxfile", &text);
        let run = home.msb(["adopt", "volume.data"]).exits(77);
        run.complains(&["msb::owner::differs", complaint]);
        is_nobodys(&home, &text);
    }
    home.write("Sandboxfile.yaml", "{ project: shop }\n");
    let yaml = ["-f", "Sandboxfile.yaml", "adopt", "volume.data"];
    home.msb_with(&yaml).exits(1).complains(&["what `--print` prints"]);
    let node = home.msb_with(&[&yaml[..], &["--print"]].concat()).exits(0).stdout;
    assert!(node.starts_with("volumes:\n  data:\n"), "{node}");
}

#[test]
fn sf_x2_a_volume_that_the_project_uses_is_taken_over_while_that_is_at_rest() {
    let home = Home::process();
    create(&home, &[]);
    let text = "project \"shop\"\nvolume \"data\"\nsandbox \"db\" { image \"builtin:base\"; \
                memory \"96MiB\"; command \"sleep\" \"1000\"; mount \"/data\" { named \"data\" } }\n";
    home.write("Sandboxfile", text);
    home.msb(["up"]).exits(0);
    let run = home.msb(["adopt", "volume.data"]).exits(77);
    run.complains(&["in use by shop/db", "Stop those"]);
    is_nobodys(&home, text);
    home.msb(["stop", "db"]).exits(0);
    home.msb(["adopt", "volume.data"]).exits(0);
    is_shops(&home, "data");
    home.msb(["start", "db"]).exits(0);
    home.msb(["diff"]).exits(0);
    is_shops(&home, "data");
    converged(&home);
    home.msb(["down"]).exits(0);
}
