//! A stored definition of any released schema, as today's.
//!
//! What a schema did not know is filled in as that was when it came to be known, and never by
//! today's defaults: a new msb alone must not change anything. Names that a schema used are read
//! for ever.
//!
//! | schema | differs from the next one |
//! |---|---|
//! | 1 | `image` stands where `root` does; nothing on ports, networks, secrets, limits, health, restarts, idleness, figures; a read-only mount may be a boolean |

use schema::project::{Body, Restart, RestartPolicy, Sandbox};
use serde_json::{Map, Value, json};

/// The schema that bodies are written in today.
pub(super) const SCHEMA: u32 = 2;

/// Tells whether a body is what it was when it was written down under `digest`.
pub(super) fn is_whole(body: &str, (schema, digest): (u32, &str)) -> bool {
    let is = |text: &str| blake3::hash(text.as_bytes()).to_hex().as_str() == digest;
    // The first programs of schema 1 counted the digest over the same with its keys sorted.
    let sorted = || serde_json::from_str::<Value>(body).is_ok_and(|value| is(&value.to_string()));
    is(body) || (schema == 1 && sorted())
}

/// Returns what a body of that schema says; one of a later schema as far as it is known.
pub(super) fn lift(body: &str, schema: u32) -> serde_json::Result<Sandbox> {
    if schema > 1 {
        return serde_json::from_str(body);
    }
    let mut sandbox: Map<String, Value> = serde_json::from_str(body)?;
    from_1(&mut sandbox);
    serde_json::from_value(Value::Object(sandbox))
}

/// From schema 1 to schema 2.
fn from_1(sandbox: &mut Map<String, Value>) {
    if let Some(image) = sandbox.remove("image") {
        sandbox.insert("root".to_owned(), json!({ "image": image }));
    }
    let is_job = sandbox.get("kind").is_some_and(|kind| kind == "job");
    for (key, value) in unknown_to_1(is_job) {
        sandbox.entry(key).or_insert(value);
    }
    if let Some(lifecycle) = sandbox.get_mut("lifecycle").and_then(Value::as_object_mut) {
        lifecycle.entry("keep").or_insert(json!(false));
    }
    let mounts = sandbox.get_mut("mounts").and_then(Value::as_array_mut);
    for mount in mounts.into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(read_only) = mount.remove("readonly") {
            let access = if read_only == true { "read-only" } else { "read-write" };
            mount.entry("options").or_insert(json!({ "access": access, "flags": [] }));
        }
    }
}

/// What schema 1 did not know, as it was when schema 2 came to know it.
fn unknown_to_1(is_job: bool) -> [(&'static str, Value); 11] {
    let policy = if is_job { "no" } else { "on-failure" };
    let tls = json!({
        "intercept": false, "ports": [443], "bypass": [], "upstream_ca": [], "authority": null,
        "trust_host_cas": false, "block_quic": true
    });
    let network = json!({
        "preset": "public", "rules": [],
        "dns": { "servers": [], "rebind_protection": true, "timeout": 5000 },
        "limits": { "egress": null, "ingress": null, "max_connections": 1024 }, "tls": tls
    });
    let restart = json!({
        "policy": policy, "max": 5, "window": 600_000, "delay": 200, "factor": 2000,
        "cap": 30_000, "jitter": 200, "then": "stall"
    });
    let metrics = json!({
        "enabled": true, "interval": 1000, "labels": true, "exclude_labels": [], "attributes": {}
    });
    [
        ("env_files", json!([])),
        ("rlimits", json!({})),
        ("ports", json!([])),
        ("connect", json!({})),
        ("network", network),
        ("secrets", json!({})),
        ("health", Value::Null),
        ("restart", restart),
        ("idle_timeout", Value::Null),
        ("max_duration", Value::Null),
        ("metrics", metrics),
    ]
}

/// Settles by a wish what a lifted body leaves open.
///
/// Schema 1 took `restart "no"` and nothing else, and did not keep whether that was written; its
/// machines were restarted in neither case. So a file that writes it says what it said then.
pub fn settle(applied: &mut Body, want: &Sandbox) {
    let was_no = Restart { policy: RestartPolicy::No, ..applied.restart.clone() };
    if want.restart == was_no && applied.restart != was_no {
        applied.restart = was_no;
    }
}

#[cfg(test)]
mod tests;
