//! What an image says of itself is data: it is shown, and commands nothing.

use serde_json::Value;
use tests::configured::configured;
use tests::home::Home;

/// Keys that msb, or a reader of images, gives a meaning elsewhere.
const OURS: [(&str, &str); 22] = [
    ("msb.project", "other"),
    ("msb.project-id", "0011223344556677"),
    ("msb.sandbox", "somebody"),
    ("msb.instance", "7"),
    ("msb.kind", "job"),
    ("msb.generation", "99"),
    ("sandbox.name", "somebody"),
    ("sandbox.project", "other"),
    ("sandbox.driver", "krun"),
    ("microsandbox.user", "root"),
    ("microsandbox.mount", "/:/host"),
    ("service.name", "other"),
    ("host.name", "other"),
    ("user", "root"),
    ("security", "default"),
    ("ports", "1:1"),
    ("lifecycle.protect", "true"),
    ("io.containerd.image.name", "docker.io/library/evil:1"),
    ("org.opencontainers.image.ref.name", "docker.io/library/evil:1"),
    ("org.opencontainers.image.base.name", "builtin:base"),
    ("com.docker.compose.project", "other"),
    ("com.docker.compose.depends_on", "nobody"),
];

/// How many of them nobody but msb may give.
const RESERVED: usize = 13;

/// Returns what is known of a sandbox but for what differs from one to the next.
fn known(home: &Home, name: &str) -> Value {
    let mut told = home.msb(["inspect", name, "--json"]).exits(0).json()[0].take();
    let all = told.as_object_mut().unwrap();
    for key in ["address", "name", "id", "image", "image_digest", "image_labels", "paths"] {
        all.remove(key);
    }
    all.retain(|key, _| !key.ends_with("_at") && !key.ends_with("_ms") && key != "pid");
    for key in ["name", "root", "hostname"] {
        all["spec"].as_object_mut().unwrap().remove(key);
    }
    all["network"].as_object_mut().unwrap().retain(|key, _| !key.starts_with("ipv"));
    told
}

#[test]
fn s12_an_image_with_every_label_and_annotation_of_ours_has_no_effect() {
    let home = Home::process();
    let words: Vec<String> = OURS
        .iter()
        .flat_map(|(key, value)| {
            ["config.label", "manifest.annotation"].map(|kind| format!("--{kind}={key}={value}"))
        })
        .chain(["--config.label=org.example.vendor=acme".to_owned()])
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let plain = configured(&home, "plain", "", &[]);
    let labelled = configured(&home, "labelled", "", &words);
    for (archive, name) in [(&plain, "plain:1"), (&labelled, "labelled:1")] {
        home.msb(["load", "-i", archive.to_str().unwrap(), "-t", name]).exits(0);
    }
    let rows = home.msb(["image", "ls", "--json"]).exits(0).json();
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "a label named an image: {rows}");
    let rows = home.msb(["image", "inspect", "labelled:1"]).exits(0).json();
    assert_eq!(rows[0]["config"]["labels"].as_object().map(serde_json::Map::len), Some(23));

    home.write(
        "Sandboxfile",
        "project \"shop\"
         sandbox \"one\" { image \"plain:1\"; command \"sleep\" \"1000\"; labels { tier \"web\" } }
         sandbox \"two\" { image \"labelled:1\"; command \"sleep\" \"1000\"; labels { tier \"web\" } }\n",
    );
    home.msb(["up"]).exits(0);
    assert_eq!(known(&home, "one"), known(&home, "two"));
    // Nobody is found by what an image says.
    assert_eq!(home.msb(["ps", "--label", "tier=web", "--json"]).exits(0).json()[1]["name"], "two");
    for (key, value) in OURS.into_iter().chain([("org.example.vendor", "acme")]) {
        let found = home.msb(["ps", "--label", &format!("{key}={value}"), "--json"]);
        assert!(!found.stdout.contains("two"), "{key}: {found}");
    }
    home.msb(["diff"]).exits(0);

    // It is shown apart, what is ours left out and said to be.
    let told = home.msb(["inspect", "two", "--json"]).exits(0);
    let labels = &told.json()[0]["image_labels"];
    assert_eq!(labels["org.example.vendor"], "acme");
    assert_eq!(labels.as_object().map(serde_json::Map::len), Some(OURS.len() + 1 - RESERVED));
    assert_eq!(told.json()[0]["labels"], serde_json::json!({ "tier": "web" }));
    home.msb(["inspect", "two"])
        .exits(0)
        .says(&["tier=web (image: ", "org.example.vendor=acme"])
        .complains(&["13 of its image's 23 labels are reserved or too long"]);
    home.msb(["inspect", "one"]).exits(0).says(&["tier=web\n"]);
    home.msb(["down"]).exits(0);
}
