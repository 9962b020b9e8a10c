//! `up` with images that only a registry has, and the lock that pins them.

use std::path::PathBuf;
use std::process::Command;

use tests::home::{Home, put};
use tests::programs;
use tests::registry::Registry;

fn base() -> PathBuf {
    programs::target().join("base/base.oci.tar")
}

/// Returns an archive of another image: the base with a label.
fn other(home: &Home) -> PathBuf {
    configured(home, "--config.label=moved=yes")
}

/// Returns an archive of the base, configured in another way.
fn configured(home: &Home, with: &str) -> PathBuf {
    let folder = home.scratch("other");
    std::fs::create_dir(&folder).unwrap();
    let at = folder.display();
    let script = format!(
        "set -e; cd {at}; skopeo copy -q oci-archive:{} oci:{at}/o:x; \
         umoci config --image {at}/o:x {with}; \
         skopeo copy -q oci:{at}/o:x oci-archive:{at}/other.tar",
        base().display()
    );
    let made = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder.join("other.tar")
}

fn file(home: &Home, image: &str) {
    home.write(
        "Sandboxfile",
        &format!(
            "project \"shop\"\nsandbox \"web\" {{ image {image}; command \"sleep\" \"1000\" }}\n"
        ),
    );
}

#[test]
fn up_fetches_what_is_missing_pins_it_and_asks_nobody_again() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let (name, digest) = (format!("{}/app:1", registry.address()), registry.digest("app:1"));
    file(&home, &format!("\"{name}\""));
    home.msb(["diff"]).exits(2).says(&["digest unknown"]);
    home.msb(["plan", "--out", "saved.json"]).exits(1).complains(&["image::unresolved"]);
    home.msb(["up", "--offline"]).exits(1).complains(&["--offline asks no registry"]);
    home.msb(["up"]).exits(0);
    let lock = std::fs::read_to_string(home.project().join("Sandboxfile.lock")).unwrap();
    assert!(lock.contains(&digest), "{lock}");
    let asked = registry.requests();
    home.msb(["diff"]).exits(0);
    home.msb(["up"]).exits(0);
    home.msb(["plan"]).exits(0);
    home.msb(["lock"]).exits(0);
    assert_eq!(registry.requests(), asked, "what changes nothing asks nobody");
    // Nobody is there to be asked any more.
    drop(registry);
    home.msb(["diff"]).exits(0);
    home.msb(["up"]).exits(0);
    home.msb(["up", "--locked"]).exits(0);
    home.msb(["lock"]).exits(0).says(&["1 kept"]);
    home.msb(["down"]).exits(0);
    home.msb(["up"]).exits(0);
    home.msb(["down"]).exits(0);
}

#[test]
fn only_lock_upgrade_moves_a_digest_and_the_next_diff_shows_it() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let (name, before) = (format!("{}/app:1", registry.address()), registry.digest("app:1"));
    file(&home, &format!("\"{name}\""));
    home.msb(["lock"]).exits(0).says(&["added"]);
    home.msb(["diff"]).exits(2).says(&[&before[..15]]);
    home.msb(["up"]).exits(0);
    registry.push(&other(&home), "app:1");
    let after = registry.digest("app:1");
    assert_ne!(before, after);
    home.msb(["diff"]).exits(0);
    home.msb(["up"]).exits(0);
    let moved = home.msb(["lock", "--upgrade"]).exits(0);
    moved.says(&[&before[..19], &after[..19], "1 moved"]);
    // The new one is not in the store yet, and is shown all the same.
    let diff = home.msb(["diff"]).exits(2);
    diff.says(&[&before[..15], &after[..15], "recreate", "Sandboxfile.lock:"]);
    home.msb(["up", "--yes"]).exits(0);
    home.msb(["diff"]).exits(0);
    let told = home.msb(["inspect", "web", "--json"]).exits(0).json();
    assert_eq!(told[0]["image_digest"], after, "{told}");
    home.msb(["down"]).exits(0);
}

#[test]
fn an_image_that_nobody_has_fails_who_needs_it_and_nobody_else() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let at = registry.address();
    home.write(
        "Sandboxfile",
        &format!(
            "project \"shop\"\n\
             sandbox \"web\" {{ image \"{at}/app:1\"; command \"sleep\" \"1000\" }}\n\
             sandbox \"bad\" {{ image \"{at}/app:9\"; command \"sleep\" \"1000\" }}\n\
             sandbox \"after\" {{ image \"{at}/app:1\"; command \"sleep\" \"1000\"; depends-on \"bad\" }}\n"
        ),
    );
    home.msb(["up"]).exits(1).complains(&["app:9", "is not in the registry", "image::not-found"]);
    let rows = home.msb(["ps", "--json"]).exits(0).json();
    let phase = |name: &str| {
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name);
        row.map(|row| row["phase"].as_str().unwrap().to_owned())
    };
    assert_eq!(phase("web").as_deref(), Some("ready"), "{rows}");
    assert_ne!(phase("after").as_deref(), Some("ready"), "{rows}");
    home.msb(["down"]).exits(0);
}

#[test]
fn an_image_that_is_never_to_be_pulled_is_told_before_anything_starts() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    file(&home, &format!("\"{name}\" pull=\"never\""));
    home.msb(["up"]).exits(1).complains(&["image::not-found", "`pull` is \"never\""]);
    home.msb(["pull", &name]).exits(0);
    home.msb(["up"]).exits(0);
    home.msb(["down"]).exits(0);
}

#[test]
fn run_fetches_its_image_too() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    home.msb(["run", "--rm", "--pull", "never", &name, "true"]).exits(1);
    home.msb(["run", "--rm", &name, "echo", "hello"]).exits(0).says(&["hello"]);
}

#[test]
fn run_knows_the_entrypoint_of_an_image_that_it_fetches() {
    let (home, registry) = (Home::process(), Registry::plain());
    let image = configured(&home, "--config.entrypoint=/bin/echo --config.cmd=its-own-words");
    registry.push(&image, "app:1");
    let name = format!("{}/app:1", registry.address());
    home.msb(["run", "--rm", &name]).exits(0).says(&["its-own-words"]);
}

#[test]
fn pull_always_asks_the_registry_for_what_is_here() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    let digest_of = |sandbox: &str| {
        let told = home.msb(["inspect", sandbox, "--json"]).exits(0).json();
        told[0]["image_digest"].as_str().unwrap().to_owned()
    };
    home.msb(["create", "-n", "one", &name]).exits(0);
    let before = registry.digest("app:1");
    assert_eq!(digest_of("one"), before);
    registry.push(&configured(&home, "--config.label=moved=yes"), "app:1");
    home.msb(["create", "-n", "two", &name]).exits(0);
    assert_eq!(digest_of("two"), before, "what is here is not asked for");
    home.msb(["create", "-n", "three", "--pull", "always", &name]).exits(0);
    assert_eq!(digest_of("three"), registry.digest("app:1"));
    drop(registry);
    home.msb(["run", "--rm", "--pull", "always", &name, "true"]).exits(1);
    home.msb(["run", "--rm", &name, "true"]).exits(0);
}

#[test]
fn two_sandboxes_of_one_image_wait_for_one_pull() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let at = registry.address();
    put(&home.path().join("config.kdl"), "parallel pulls=1\n");
    home.write(
        "Sandboxfile",
        &format!(
            "project \"shop\"\n\
             sandbox \"web\" {{ image \"{at}/app:1\"; command \"sleep\" \"1000\" }}\n\
             sandbox \"api\" {{ image \"{at}/app:1\"; command \"sleep\" \"1000\" }}\n"
        ),
    );
    let plan = home.msb(["plan", "--json"]).exits(0).json();
    let steps = plan["steps"].as_array().unwrap();
    let pulls = steps.iter().filter(|step| step["do"] == "pull").count();
    assert_eq!(pulls, 1, "{plan}");
    home.msb(["up"]).exits(0);
    home.msb(["diff"]).exits(0);
    home.msb(["down"]).exits(0);
}

#[test]
fn a_lock_that_lacks_an_image_stops_who_asks_for_a_locked_run() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    file(&home, &format!("\"{name}\""));
    home.msb(["up", "--locked"]).exits(65).complains(&["image-lock::missing"]);
    home.msb(["lock", "--check"]).exits(65).complains(&["image-lock::missing"]);
    home.msb(["lock"]).exits(0);
    let lock = home.msb(["lock", "--check", "--json"]).exits(0).json();
    assert_eq!(lock["entries"][0]["after"], registry.digest("app:1"), "{lock}");
    // An upgrade that nobody answers leaves the lock as it is.
    let path = home.project().join("Sandboxfile.lock");
    let before = std::fs::read(&path).unwrap();
    drop(registry);
    home.msb(["lock", "--upgrade"]).exits(1);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn what_one_project_pins_moves_no_name_of_others() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let (name, before) = (format!("{}/app:1", registry.address()), registry.digest("app:1"));
    file(&home, &format!("\"{name}\""));
    home.msb(["lock"]).exits(0);
    registry.push(&other(&home), "app:1");
    let after = registry.digest("app:1");
    home.msb(["pull", &name]).exits(0);
    home.msb(["up"]).exits(0);
    let told = home.msb(["inspect", "web", "--json"]).exits(0).json();
    assert_eq!(told[0]["image_digest"], before, "the lock decides");
    let rows = home.msb(["image", "ls", &name, "--json"]).exits(0).json();
    assert_eq!(rows[0]["digest"], after, "the name stays where it was pulled to");
    home.msb(["diff"]).exits(0);
    home.msb(["down"]).exits(0);
}
