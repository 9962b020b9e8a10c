//! A plan as one JSON document, and the digests that tell plans apart.

use std::collections::BTreeMap;

use schema::change::Class;
use schema::project::{InputFile, Kind, Place};
use serde_json::{Map, Value, json};

use super::value::{
    Address, Change, Drift, Edge, Field, OnFailure, Op, Plan, Refusal, Step, Widening,
};
use super::wish::Variable;
use crate::observe::{Seen, SeenVolume};

/// The document's format; minor versions only add keys.
pub const FORMAT_VERSION: &str = "1.0";

/// Returns the plan as one document, every key always there.
#[must_use]
pub fn document(plan: &Plan) -> Value {
    let head = &plan.head;
    let inputs = &head.inputs;
    json!({
        "format_version": FORMAT_VERSION,
        "msb_version": env!("CARGO_PKG_VERSION"),
        "project": {"id": head.id, "name": head.name, "path": head.path},
        "partial": head.part.is_some(),
        "state_generation": head.generation,
        "plan_hash": hash(plan),
        "inputs": {
            "files": inputs.files.iter().map(file).collect::<Vec<_>>(),
            "lock": inputs.lock.as_ref().map(|lock| format!("blake3:{}", lock.blake3)),
            "lock_file": inputs.lock.as_ref().map(file),
            "vars": inputs.variables.iter().map(variable).collect::<Vec<_>>(),
        },
        "summary": plan.summary(),
        "changes": plan.changes.iter().map(change).collect::<Vec<_>>(),
        "drift": plan.drift.iter().map(drift).collect::<Vec<_>>(),
        "widening": plan.widening.iter().map(widening).collect::<Vec<_>>(),
        "refused": plan.refused.iter().map(refusal).collect::<Vec<_>>(),
        "hints": plan.hints,
        "warnings": plan.warnings,
        "steps": steps(plan),
        "definitions": {},
        "applyable": plan.refused.is_empty(),
    })
}

/// Returns the plan's digest: over its steps and what they require, without times.
#[must_use]
pub fn hash(plan: &Plan) -> String {
    let changes = plan.changes.iter().map(|change| {
        json!([
            change.address.to_string(),
            change.action.as_str(),
            change.was.as_ref().map(ToString::to_string),
            requires(change),
            change.fields.iter().map(essence).collect::<Vec<_>>(),
        ])
    });
    digest(&json!([changes.collect::<Vec<_>>(), steps(plan)]))
}

fn digest(value: &Value) -> String {
    format!("blake3:{}", blake3::hash(value.to_string().as_bytes()).to_hex())
}

/// Returns the digest of what was observed of a sandbox, times left out.
pub(super) fn observed_digest(seen: &Seen) -> String {
    let machine = seen
        .machine
        .as_ref()
        .map(|machine| json!([machine.row.id, machine.row.nonce, machine.alive, machine.phase]));
    digest(&json!([seen.row.applied, seen.row.generation, machine, seen.effective()]))
}

/// Returns the digest of what was observed of a volume, times and users left out.
pub(super) fn volume_digest(seen: &SeenVolume) -> String {
    let row = &seen.row;
    digest(&json!([
        row.id,
        row.name,
        row.kind.as_str(),
        row.size_bytes,
        row.quota_bytes,
        row.protect,
        row.labels,
        seen.owner
    ]))
}

fn file(file: &InputFile) -> Value {
    json!({"path": file.path, "blake3": file.blake3})
}

fn variable(variable: &Variable) -> Value {
    json!({"name": variable.name, "source": variable.source, "secret": variable.secret})
}

fn change(change: &Change) -> Value {
    json!({
        "address": change.address.to_string(),
        "was": change.was.as_ref().map(ToString::to_string),
        "kind": change.kind.map_or_else(|| json!(change.address.kind()), |kind| json!(kind)),
        "action": change.action.as_str(),
        "class": change.class.as_str(),
        "cause": change.cause.as_str(),
        "order": "stop-first",
        "reason": {"code": change.reason.code, "text": change.reason.text},
        "fields": change.fields.iter().map(field).collect::<Vec<_>>(),
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

/// What of a field decides what is done: where it is written does not.
fn essence(field: &Field) -> Value {
    let (before, after) = shown(field);
    json!([field.path, before, after, field.class.as_str()])
}

/// The reference to a sensitive value is for people; tools get no value at all.
fn shown(field: &Field) -> (Option<&str>, Option<&str>) {
    if field.sensitive {
        return (None, None);
    }
    (field.before.as_deref(), field.after.as_deref())
}

fn field(field: &Field) -> Value {
    let (before, after) = shown(field);
    json!({
        "path": field.path,
        "before": before,
        "after": after,
        "class": field.class.as_str(),
        "sensitive": field.sensitive,
        "widens": field.widens,
        "source": place(field.place.as_ref()),
    })
}

fn place(place: Option<&Place>) -> Value {
    place.map_or(Value::Null, |p| json!({"file": p.file, "line": p.line, "column": p.column}))
}

fn drift(drift: &Drift) -> Value {
    let by =
        drift.by.as_ref().map(|by| json!({"command": by.command, "actor": by.who, "at": by.at}));
    json!({
        "address": drift.address.to_string(),
        "path": drift.path,
        "before": drift.before,
        "after": drift.after,
        "class": drift.class,
        "by": by,
    })
}

fn widening(widening: &Widening) -> Value {
    json!({
        "address": widening.address.to_string(),
        "path": widening.path,
        "text": widening.text,
        "source": place(widening.place.as_ref()),
    })
}

fn refusal(refusal: &Refusal) -> Value {
    let class = if refusal.word.is_empty() { Class::None.as_str() } else { refusal.word };
    json!({
        "address": refusal.address.as_ref().map(ToString::to_string),
        "code": refusal.code,
        "class": class,
        "text": refusal.text,
        "hint": refusal.hint,
        "source": place(refusal.place.as_ref()),
    })
}

fn steps(plan: &Plan) -> Vec<Value> {
    let kinds: BTreeMap<&Address, Kind> =
        plan.changes.iter().filter_map(|change| Some((&change.address, change.kind?))).collect();
    plan.steps.iter().map(|one| step(one, kinds.get(&one.address).copied())).collect()
}

fn step(step: &Step, kind: Option<Kind>) -> Value {
    let edges = |which: &dyn Fn(&Edge) -> bool| {
        let edges = step.after.iter().filter(|edge| which(edge));
        edges.map(|edge| edge.step.to_string()).collect::<Vec<_>>()
    };
    let word = match step.op {
        Op::Retire => Op::Discard.as_str(),
        other => other.as_str(),
    };
    let until = match (step.op, kind) {
        (Op::Gate, Some(Kind::Job)) => Some("completed"),
        (Op::Gate | Op::GateReady, _) => Some("ready"),
        (Op::Listen, _) => Some("log"),
        _ => None,
    };
    json!({
        "id": step.id.to_string(),
        "do": word,
        "address": step.address.to_string(),
        "after": edges(&|_| true),
        "tolerates": edges(&|edge| edge.on_failure == OnFailure::GoOn),
        "until": until,
    })
}

/// Returns the plan as lines: each change, drift, widening, refusal and hint, then the counts.
#[must_use]
pub fn lines(plan: &Plan) -> Vec<Value> {
    let mut document = document(plan);
    let blocks = [
        ("changes", "change"),
        ("drift", "drift"),
        ("widening", "widening"),
        ("refused", "refused"),
    ];
    let mut lines = Vec::new();
    for (key, kind) in blocks {
        let Value::Array(rows) = document[key].take() else { continue };
        lines.extend(rows.into_iter().map(|row| typed(kind, row)));
    }
    lines.extend(plan.hints.iter().map(|hint| json!({"type": "hint", "message": hint})));
    lines.push(typed("summary", document["summary"].take()));
    lines
}

fn typed(kind: &str, row: Value) -> Value {
    let mut typed = Map::new();
    typed.insert("type".to_owned(), kind.into());
    if let Value::Object(row) = row {
        typed.extend(row);
    }
    Value::Object(typed)
}
