//! Figures as programs read them.

use schema::figures::Sample;
use serde_json::{Value, json};

use super::Living;
use crate::store::time::rfc3339;

/// Returns what a machine used as programs read it; every key is there, null where nobody told it.
#[must_use]
pub fn document(who: &Living, sample: Option<&Sample>) -> Value {
    let labels = who.definition.as_ref().map(|definition| &definition.labels);
    let mut document = json!({
        "project": who.project.as_str(),
        "address": format!("sandbox.{}", who.name),
        "name": who.name.sandbox.as_str(),
        "instance": who.name.index.map(|index| index.to_string()),
        "id": who.machine.id(),
        "driver": who.driver.as_str(),
        "labels": labels.cloned().unwrap_or_default(),
    });
    let nothing = Sample::default();
    let mut figures = serde_json::to_value(sample.unwrap_or(&nothing)).unwrap_or_default();
    let time = |at: fn(&Sample) -> u64| sample.map(|sample| rfc3339(at(sample)));
    figures["sampled_at"] = json!(time(|sample| sample.sampled_at_ms));
    figures["started_at"] = json!(time(|sample| sample.started_at_ms));
    for (field, figure) in [
        ("boot", sample.map(|sample| u64::from(sample.boot))),
        ("restarts", sample.map(|sample| u64::from(sample.restarts))),
        ("uptime_ms", sample.map(|sample| sample.uptime_ms)),
    ] {
        figures[field] = json!(figure);
    }
    figures["clamped"] = json!(sample.map(|sample| &sample.clamped[..]).unwrap_or_default());
    if let (Some(document), Value::Object(figures)) = (document.as_object_mut(), figures) {
        let told = figures.into_iter();
        document.extend(told.filter(|(field, _)| !field.ends_with("_at_ms")));
    }
    document
}
