//! What `msb save` writes, in the hands of podman, skopeo and umoci.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::home::{Home, put};
use tests::programs;
use tests::registry::Registry;

fn base() -> String {
    programs::target().join("base/base.oci.tar").display().to_string()
}

fn digest(home: &Home, name: &str) -> String {
    let rows = home.msb(["image", "ls", name, "--json"]).exits(0).json();
    rows[0]["digest"].as_str().unwrap().to_owned()
}

/// Returns a path as a command takes it.
fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a script of programs that nobody here wrote, in a folder of its own.
///
/// `$podman` and `$buildah` keep what they make there.
fn script(home: &Home, text: &str) -> String {
    let folder = home.scratch("elsewhere");
    fs::create_dir_all(&folder).unwrap();
    let at = folder.display();
    let kept = format!("--storage-driver vfs --root {at}/root --runroot {at}/run");
    let output = Command::new("sh")
        .args(["-ec", text])
        .current_dir(&folder)
        .env("podman", format!("podman {kept}"))
        .env("buildah", format!("buildah {kept}"))
        .env("TMPDIR", &folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes an image of a few layers, one of which hides what another brought, with `buildah`.
fn built(home: &Home, form: &str) -> PathBuf {
    let at = home.scratch("built");
    let make = "echo one >one; echo two >two; mkdir -p hide; : >hide/.wh.one
        c=$($buildah from scratch)
        $buildah copy -q $c one /data/one; $buildah config --label org.example.of=us $c
        $buildah commit -q $c layer-1
        c=$($buildah from layer-1); $buildah copy -q $c two /data/two; $buildah commit -q $c layer-2
        c=$($buildah from layer-2); m=$($buildah mount $c); rm $m/data/one; $buildah umount $c >/dev/null
        $buildah config --env WHO=us --workingdir /data --cmd '[\"/two\"]' $c";
    let commit = format!("$buildah commit -q --format {form} $c dir:{}", at.display());
    script(home, &format!("{make}\n{commit}"));
    at
}

#[test]
fn podman_loads_both_forms_and_several_images_under_the_names_they_have() {
    let home = Home::process();
    home.msb(["load", "-i", &base(), "-t", "app:1", "-t", "localhost:5000/x/y:2"]).exits(0);
    let rows = home.msb(["image", "ls", "app:1", "--json"]).exits(0).json();
    let (manifest, config) = (&rows[0]["digest"], &rows[0]["config_digest"]);
    let (oci, docker, both) = (home.scratch("o.tar"), home.scratch("d.tar"), home.scratch("b.tar"));
    home.msb(["save", "app:1", "--format", "oci", "-o", word(&oci)]).exits(0);
    home.msb(["save", "app:1", "-o", word(&docker)]).exits(0);
    home.msb(["save", "app:1", "localhost:5000/x/y:2", "-o", word(&both)]).exits(0);
    let (app, other) = ("docker.io/library/app:1", "localhost:5000/x/y:2");
    for (archive, names) in [(&oci, vec![app]), (&docker, vec![app]), (&both, vec![app, other])] {
        let listed = script(
            &home,
            &format!(
                "$podman load -q -i {} >/dev/null
                 $podman images --no-trunc --format \
                   '{{{{.Repository}}}}:{{{{.Tag}}}} {{{{.ID}}}} {{{{.Digest}}}}' | sort
                 $podman rmi -af >/dev/null",
                archive.display()
            ),
        );
        let rows: Vec<Vec<&str>> = listed.lines().map(|row| row.split(' ').collect()).collect();
        assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), names, "{listed}");
        assert!(rows.iter().all(|row| row[1] == config), "{listed}");
        // Several images it takes as docker's, for which it makes manifests of its own.
        assert!(names.len() > 1 || rows[0][2] == manifest, "{listed}");
    }
}

#[test]
fn an_image_of_buildah_keeps_its_digest_from_registry_to_registry_in_every_coding() {
    let home = Home::process();
    let (one, two) = (Registry::plain(), Registry::plain());
    let skopeo = "skopeo --insecure-policy copy -q --preserve-digests";
    for (form, coding) in [("docker", "gzip"), ("oci", "gzip"), ("oci", "zstd")] {
        let fresh = Home::process();
        let (name, made) = (format!("{form}-{coding}:1"), built(&home, form));
        let at = one.address();
        script(
            &home,
            &format!(
                "skopeo --insecure-policy copy -q --dest-tls-verify=false --dest-compress-format \
                 {coding} dir:{} docker://{at}/{name}",
                made.display()
            ),
        );
        let pulled = format!("{at}/{name}");
        fresh.msb(["pull", &pulled]).exits(0);
        let before = digest(&fresh, &pulled);
        assert_eq!(before, one.digest(&name), "{name}");
        let layout = fresh.scratch("oci.tar");
        fresh.msb(["save", &pulled, "--format", "oci", "-o", word(&layout)]).exits(0);
        // skopeo finds no manifest of docker's kind by its name in a layout, but the only one.
        let found = if form == "oci" { format!(":{pulled}") } else { String::new() };
        script(
            &home,
            &format!(
                "{skopeo} --dest-tls-verify=false oci-archive:{}{found} docker://{}/{name}",
                layout.display(),
                two.address()
            ),
        );
        assert_eq!(two.digest(&name), before, "{name} at the other end");
        let again = Home::process();
        let pinned = format!("{}/{}@{before}", two.address(), name.trim_end_matches(":1"));
        again.msb(["pull", &pinned]).exits(0);
        again.msb(["image", "verify"]).exits(0).says(&["ok"]);
        // The other form is read too: by layers as they are, compressed.
        let archive = fresh.scratch("docker.tar");
        fresh.msb(["save", &pulled, "-o", word(&archive)]).exits(0);
        let copied = home.scratch(&format!("{form}-{coding}"));
        script(
            &home,
            &format!(
                "skopeo --insecure-policy copy -q docker-archive:{}:{pulled} dir:{}",
                archive.display(),
                copied.display()
            ),
        );
        let config = fresh.msb(["image", "inspect", &pulled]).exits(0).json();
        assert_eq!(config[0]["config"]["working_dir"], "/data");
        let stored = config[0]["layers"][0]["media_type"].as_str().unwrap();
        assert!(stored.ends_with(coding), "{stored} is not {coding}");
        assert_eq!(config[0]["config"]["labels"]["org.example.of"], "us");
    }
}

#[test]
fn umoci_unpacks_a_layout_of_ours_as_it_is() {
    let home = Home::process();
    let made = built(&home, "oci");
    let archive = home.scratch("in.tar");
    let pack = format!(
        "skopeo --insecure-policy copy -q dir:{} oci-archive:{}:made:1",
        made.display(),
        archive.display()
    );
    script(&home, &pack);
    home.msb(["load", "-i", word(&archive)]).exits(0);
    let layout = home.scratch("out.tar");
    home.msb(["save", "made:1", "--format", "oci", "-o", word(&layout)]).exits(0);
    let unpack = format!(
        "mkdir layout; tar -xf {} -C layout
         umoci unpack --rootless --image layout:docker.io/library/made:1 bundle >/dev/null
         ls bundle/rootfs/data; cat bundle/rootfs/data/two",
        layout.display()
    );
    assert_eq!(script(&home, &unpack), "two\ntwo", "a layer hides what a lower one brought");
}

#[test]
fn what_comes_with_msb_is_saved_unasked_and_gets_a_name_from_who_loads_it() {
    let home = Home::process();
    let archive = home.scratch("base.tar");
    home.msb(["save", "builtin:base", "-o", word(&archive)]).exits(0);
    let before = digest(&home, "builtin:base");
    let fresh = Home::process();
    fresh.msb(["load", "-i", word(&archive)]).exits(64).complains(&["-t REF"]);
    fresh.msb(["load", "-i", word(&archive), "-t", "app:1"]).exits(0);
    assert_eq!(digest(&fresh, "app:1"), before);
    let read = format!(
        "skopeo --insecure-policy inspect --raw oci-archive:{}:base | sha256sum | cut -c1-64",
        archive.display()
    );
    assert_eq!(format!("sha256:{}", script(&home, &read)), before);
}

#[test]
fn the_same_images_are_the_same_archive_in_whatever_order_and_share_what_they_share() {
    let home = Home::process();
    home.msb(["load", "-i", &base(), "-t", "b:1", "-t", "a:1"]).exits(0);
    let (one, two) = (home.scratch("one.tar"), home.scratch("two.tar"));
    let told = home.msb(["save", "a:1", "b:1", "-o", word(&one), "--json"]).exits(0).json();
    home.msb(["save", "b:1", "a:1", "b:1", "-o", word(&two)]).exits(0);
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "another order, other bytes");
    assert_eq!(told["images"].as_array().map(Vec::len), Some(2));
    let listed = script(&home, &format!("tar -tf {}", one.display()));
    let mut sorted: Vec<&str> = listed.lines().collect();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(listed.lines().collect::<Vec<_>>(), sorted, "sorted, and nothing twice");
    assert_eq!(listed.matches("blobs/sha256/").count(), 4, "the folder and three blobs: {listed}");
    let index: Value =
        serde_json::from_str(&script(&home, &format!("tar -xOf {} index.json", one.display())))
            .unwrap();
    let name = "org.opencontainers.image.ref.name";
    assert_eq!(index["manifests"][1]["annotations"][name], "docker.io/library/b:1");
}

#[test]
fn only_a_file_is_written_over_and_behind_a_link_the_one_that_is_meant() {
    let home = Home::process();
    home.msb(["load", "-i", &base(), "-t", "app:1"]).exits(0);
    let (folder, pipe) = (home.scratch("folder"), home.scratch("pipe"));
    fs::create_dir(&folder).unwrap();
    script(&home, &format!("mkfifo {}", pipe.display()));
    for path in [&folder, &pipe] {
        home.msb(["save", "app:1", "-o", word(path)]).exits(64).complains(&["is no file"]);
        assert!(!fs::metadata(path).unwrap().is_file(), "{}", path.display());
    }
    let (link, file) = (home.scratch("link.tar"), folder.join("real.tar"));
    put(&file, "before");
    symlink(&file, &link).unwrap();
    home.msb(["save", "app:1", "-o", word(&link)]).exits(0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::metadata(&file).unwrap().len() > 1 << 20);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "a draft was left");
    let nowhere = folder.join("none/out.tar");
    home.msb(["save", "app:1", "-o", word(&nowhere)]).exits(1).complains(&["host::file"]);
}
