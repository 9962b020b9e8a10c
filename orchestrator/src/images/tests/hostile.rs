//! Archives that mean harm: each is refused with a sentence, and leaves nothing.

use super::*;

fn refused(archive: &[u8], why: &str) {
    let mut store = Store::new();
    let error = store.load(archive, &["x"]).map(|loaded| format!("{loaded:?}")).expect_err(why);
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(text.contains(why), "{text}: not {why}");
    assert_eq!(store.files(), Vec::<String>::new(), "{why}");
    assert_eq!(store.catalog.list().unwrap(), []);
}

fn layer(tar: &[u8]) -> Vec<u8> {
    docker("app:1", &[tar], &[gzip(tar)])
}

#[test]
fn layers_that_reach_outside_are_refused() {
    let tar = Tar::default;
    refused(&layer(&tar().file("../../etc/cron.d/x", b"").end()), "`..`");
    refused(
        &layer(
            &tar()
                .symlink("l", "../../..")
                .file("l/gone/x", b"")
                .hard_link("h", "/etc/passwd")
                .end(),
        ),
        "not there",
    );
    refused(&layer(&tar().symlink("l", "/nowhere").file("l/x", b"").end()), "a link to nothing");
    refused(
        &layer(&tar().file("a", b"").raw(&[0; 1024]).file("b", b"").end()),
        "bytes follow the end",
    );
    refused(&layer(&tar().file(".wh..", b"").end()), "whiteout of nothing");
    refused(&layer(&tar().hard_link("h", "h").end()), "to itself");
}

#[test]
fn layers_that_are_not_what_was_promised_are_refused() {
    let tar = Tar::default().file("a", b"1").end();
    let other = Tar::default().file("a", b"2").end();
    refused(&docker("app:1", &[&tar], &[gzip(&other)]), "its bytes hash to");
    refused(&docker("app:1", &[&tar], &[other]), "its bytes hash to");
    let mut cut = gzip(&tar);
    cut.truncate(cut.len() - 9);
    refused(&docker("app:1", &[&tar], &[cut]), "layer 0");
    refused(&docker("app:1", &[&tar], &[]), "is not in the archive");
    refused(&docker("app:1", &[], &[]), "it has no layers");
    let many: Vec<&[u8]> = vec![&tar; 200];
    refused(&docker("app:1", &many, &[]), "more than 128 layers");
}

#[test]
fn bombs_are_stopped() {
    let mut tar = Tar::default().file("zeros", &vec![0; 200 << 20]).end();
    let bomb = layer(&tar);
    refused(&bomb, "200 times its size");
    tar = gzip(&bomb);
    refused(&gzip(&tar), "neither ustar nor GNU");
    let map = [("GNU.sparse.map", &b"0,1"[..]), ("GNU.sparse.size", b"9223372036854775807")];
    let sparse = Tar::default().pax(b'x', &map).file("huge", b"x").end();
    refused(&layer(&sparse), "larger than is allowed");
    let map = [("GNU.sparse.map", &b"0,1"[..]), ("GNU.sparse.size", b"68719476736")];
    let one = |name: &str, tar: Tar| tar.pax(b'x', &map).file(name, b"x");
    let three = one("a", one("b", one("c", Tar::default()))).end();
    refused(&layer(&three), "128 GiB of files");
    let claim = schema::archive::craft::Head::new(b'L', "long", 1 << 30);
    refused(&layer(&Tar::default().entry(claim, b"").end()), "too large");
}

#[test]
fn a_flipped_byte_anywhere_in_a_layout_is_found() {
    let [one, two] = two_layers();
    let stored = [gzip(&one), two.clone()];
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let descriptor = |kind: &str, bytes: &[u8]| {
        let (digest, size) = (Digest::of(bytes), bytes.len());
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}}}"#
        )
    };
    let config = config(&[&one, &two]);
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{},{}]}}"#,
        descriptor("config.v1+json", config.as_bytes()),
        descriptor("layer.v1.tar+gzip", &stored[0]),
        descriptor("layer.v1.tar", &stored[1])
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        descriptor("manifest.v1+json", manifest.as_bytes())
    );
    let good = [config.into_bytes(), manifest.into_bytes(), stored[0].clone(), stored[1].clone()];
    let pack = |changed: &[Vec<u8>]| {
        let tar = Tar::default().file("oci-layout", b"{}").file("index.json", index.as_bytes());
        let blobs = good.iter().zip(changed);
        blobs.fold(tar, |tar, (good, changed)| tar.file(&blob(good), changed)).end()
    };
    let mut store = Store::new();
    assert_eq!(store.load(&pack(&good), &["x"]).unwrap().len(), 1);
    for number in 0..good.len() {
        for at in (0..good[number].len()).step_by(101) {
            let mut changed = good.clone();
            changed[number][at] ^= 0x20;
            refused(&pack(&changed), "is damaged");
        }
    }
}

#[test]
fn documents_that_two_readers_read_differently_are_refused() {
    let list = |text: &str| Tar::default().file("manifest.json", text.as_bytes()).end();
    refused(&list(r#"[{"Config":"a","Config":"b","Layers":[]}]"#), "stands twice");
    refused(&list(r#"[{"Config":"../../etc/passwd","Layers":[]}]"#), "not in the archive");
    refused(&list(&"[".repeat(5000)), "manifest.json");
    refused(&Tar::default().file("x", b"").end(), "neither");
    refused(b"no archive at all", "ends in the middle");
    refused(&[7; 4096], "is refused");
    let index = r#"{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../x","size":1}]}"#;
    let layout = Tar::default().file("oci-layout", b"{}").file("index.json", index.as_bytes());
    refused(&layout.end(), "no sha256 digest");
}

#[test]
fn odd_things_that_are_allowed_stay_inside_the_image() {
    let keys: [(&str, &[u8]); 2] = [
        ("SCHILY.xattr.security.capability", b"cap"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
    ];
    let tar = Tar::default()
        .device(b'3', "dev/null", (1, 3))
        .pax(b'x', &keys)
        .file("ping", b"x")
        .symlink("up", "../../../../etc")
        .folder("etc")
        .file("up/inside", b"y")
        .end();
    let mut store = Store::new();
    let loaded = store.load(&layer(&tar), &[]).unwrap();
    assert_eq!(loaded[0].notes, ["1 attributes that mean nothing to a guest were left out"]);
    let paths = store.read_root("app:1");
    assert!(paths.contains(&"etc/inside=y".to_owned()), "{paths:?}");
}
