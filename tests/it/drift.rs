//! Fields whose drift is left alone, with the file at hand and without it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::home::{Home, put};

const FILE: &str = r#"
project "shop"
sandbox "web" {
    image "builtin:base"
    replicas 2
    memory "96MiB"
    command "sleep" "1000"
}
"#;

/// Makes every machine look as if somebody had given it more memory.
fn drift(home: &Home) {
    for folder in fs::read_dir(home.path().join("machines")).unwrap() {
        let record = folder.unwrap().path().join("record");
        if Path::new(&record).exists() {
            let mut told: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
            told["effective"]["memory_bytes"] = (128_u64 << 20).into();
            put(&record, &told.to_string());
        }
    }
}

#[test]
fn what_may_drift_is_remembered_where_no_file_is_read() {
    let home = Home::process();
    home.write("Sandboxfile", FILE);
    home.msb(["up"]).exits(0);
    drift(&home);
    let drifted = home.msb(["diff", "--drift"]).exits(2);
    assert!(drifted.stdout.contains("memory.size"), "{drifted}");
    let ignoring =
        FILE.replace("    memory", "    lifecycle { ignore-drift \"memory\" }\n    memory");
    home.write("Sandboxfile", &ignoring);
    home.msb(["up"]).exits(0).says(&["nothing to do"]);
    home.msb(["diff", "--drift"]).exits(0);
    home.msb(["down"]).exits(0);
}
