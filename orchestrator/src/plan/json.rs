//! A plan as one JSON document, and the digests that tell plans apart.

use schema::change::Class;
use schema::project::Place;
use serde_json::{Value, json};

use super::value::{Change, Drift, Field, Plan, Refusal, Step};
use crate::observe::Seen;

/// The document's format; minor versions only add keys.
pub const FORMAT_VERSION: &str = "1.0";

/// Returns the plan as one document, every key always there.
#[must_use]
pub fn document(plan: &Plan) -> Value {
    let head = &plan.head;
    let files = head.files.iter().map(|file| json!({"path": file.path, "blake3": file.blake3}));
    json!({
        "format_version": FORMAT_VERSION,
        "msb_version": env!("CARGO_PKG_VERSION"),
        "project": {"id": head.id, "name": head.name, "path": head.path},
        "partial": head.part.is_some(),
        "state_generation": head.generation,
        "plan_hash": hash(plan),
        "inputs": {"files": files.collect::<Vec<_>>(), "lock": null, "vars": []},
        "summary": plan.summary(),
        "changes": plan.changes.iter().map(change).collect::<Vec<_>>(),
        "drift": plan.drift.iter().map(drift).collect::<Vec<_>>(),
        "widening": [],
        "refused": plan.refused.iter().map(refusal).collect::<Vec<_>>(),
        "hints": plan.hints,
        "warnings": plan.warnings,
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "definitions": {},
        "applyable": plan.refused.is_empty(),
    })
}

/// Returns the plan's digest: over its steps and what they require, without times.
#[must_use]
pub fn hash(plan: &Plan) -> String {
    let requires = plan.changes.iter().map(|change| {
        json!([
            change.address.to_string(),
            change.action.as_str(),
            requires(change),
            fields(change)
        ])
    });
    let steps = plan.steps.iter().map(step);
    let value = json!([requires.collect::<Vec<_>>(), steps.collect::<Vec<_>>()]);
    format!("blake3:{}", blake3::hash(value.to_string().as_bytes()).to_hex())
}

/// Returns the digest of what was observed of a sandbox, times left out.
pub(super) fn observed_digest(seen: &Seen) -> String {
    let machine = seen
        .machine
        .as_ref()
        .map(|machine| json!([machine.row.id, machine.row.nonce, machine.alive, machine.phase]));
    let effective = seen.effective();
    let value = json!([seen.row.applied, seen.row.generation, machine, effective]);
    format!("blake3:{}", blake3::hash(value.to_string().as_bytes()).to_hex())
}

fn change(change: &Change) -> Value {
    json!({
        "address": change.address.to_string(),
        "kind": change.kind.map_or_else(|| json!(change.address.kind()), |kind| json!(kind)),
        "action": change.action.as_str(),
        "class": change.class.as_str(),
        "order": "stop-first",
        "reason": {"code": change.reason.code, "text": change.reason.text},
        "fields": fields(change),
        "requires": requires(change),
        "depends_on": change.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "steps": change.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "source": place(change.place.as_ref()),
        "estimate": {"down_ms": null, "memory_bytes": null, "pull_bytes": 0},
    })
}

fn requires(change: &Change) -> Value {
    json!({"generation": change.requires.generation, "observed": change.requires.observed})
}

fn fields(change: &Change) -> Vec<Value> {
    change.fields.iter().map(field).collect()
}

fn field(field: &Field) -> Value {
    // The reference to a sensitive value is for people; tools get no value at all.
    let shown = |value: &Option<String>| value.clone().filter(|_| !field.sensitive);
    json!({
        "path": field.path,
        "before": shown(&field.before),
        "after": shown(&field.after),
        "class": field.class.as_str(),
        "sensitive": field.sensitive,
        "widens": false,
        "source": place(field.place.as_ref()),
    })
}

fn place(place: Option<&Place>) -> Value {
    place.map_or(Value::Null, |p| json!({"file": p.file, "line": p.line, "column": p.column}))
}

fn drift(drift: &Drift) -> Value {
    json!({
        "address": drift.address.to_string(),
        "path": drift.path,
        "before": drift.before,
        "after": drift.after,
        "class": drift.class,
        "by": drift.by,
    })
}

fn refusal(refusal: &Refusal) -> Value {
    json!({
        "address": refusal.address.as_ref().map(ToString::to_string),
        "code": refusal.code,
        "class": Class::None.as_str(),
        "text": refusal.text,
        "hint": refusal.hint,
        "source": place(refusal.place.as_ref()),
    })
}

fn step(step: &Step) -> Value {
    let after: Vec<String> = step.after.iter().map(|edge| edge.step.to_string()).collect();
    let word = match step.op {
        super::Op::Retire => "discard",
        other => other.as_str(),
    };
    json!({"id": step.id.to_string(), "do": word, "address": step.address.to_string(), "after": after})
}
