//! Tables of a project: its variables, origins, images, names and digests.

use std::collections::BTreeMap;

use schema::name::InstanceName;
use schema::project::{Kind, Platform, Project};
use schema::sandboxfile::provenance::{self, Leaf};
use schema::sandboxfile::resolve::{Resolved, ToldVariable, VariableSource};
use serde_json::{Value, json};

use crate::cli::call::Call;
use crate::pins::Pins;
use crate::report::human::Table;

/// Rows for people, and the same for programs.
pub(super) struct Rows {
    /// What people read.
    pub(super) text: Text,
    /// What programs read.
    pub(super) rows: Vec<Value>,
}

/// What people read.
pub(super) enum Text {
    /// Under heads.
    Table(Table),
    /// A line each.
    Lines(Vec<String>),
}

impl Rows {
    /// Prints them.
    pub(super) fn tell(&self, call: &Call) {
        match (&self.text, call.report.is_text()) {
            (_, false) => call.report.document(&self.rows),
            (Text::Table(table), true) => call.report.out(&table.text(call.report.width())),
            (Text::Lines(lines), true) => lines.iter().for_each(|line| call.report.line(line)),
        }
    }

    /// Returns the variables; a value whose name says that it is secret is not shown.
    pub(super) fn variables(resolved: &Resolved) -> Self {
        let mut table = Table::new(&["NAME", "VALUE", "SOURCE"]);
        let mut rows = Vec::new();
        let mut variables: Vec<&ToldVariable> = resolved.variables.iter().collect();
        variables.sort_by(|a, b| a.name.cmp(&b.name));
        for told in variables {
            let hidden = || HIDDEN.to_owned();
            let value = told.value.clone().map(|value| if told.secret { hidden() } else { value });
            let source = told.source.map_or("none", VariableSource::as_str);
            rows.push(json!({
                "name": told.name, "value": value, "source": source, "secret": told.secret,
            }));
            let shown = value.unwrap_or_default();
            table.row(vec![told.name.clone(), shown, source.to_owned()]);
        }
        Self { text: Text::Table(table), rows }
    }

    /// Returns every value with its place and its layer.
    pub(super) fn origins(resolved: &Resolved, given: usize) -> Self {
        let leaves = provenance::leaves(resolved, given);
        let text = Text::Lines(leaves.iter().map(line).collect());
        Self { text, rows: leaves.iter().map(row).collect() }
    }

    /// Returns the images, with what the lock pins them to.
    pub(super) fn images(project: &Project, pins: &Pins) -> Self {
        let mut used: BTreeMap<_, Vec<&InstanceName>> = BTreeMap::new();
        for (name, body) in &project.sandboxes {
            let Some(image) = body.root.image() else { continue };
            let platform = image.platform.unwrap_or(Platform::host());
            let digest = pins.get(image).map(|pinned| pinned.digest.clone());
            used.entry((image.reference.short(), platform, digest)).or_default().push(name);
        }
        let mut table = Table::new(&["IMAGE", "PLATFORM", "DIGEST", "USED BY"]);
        let mut rows = Vec::new();
        for ((reference, platform, digest), by) in used {
            let by: Vec<String> = by.into_iter().map(ToString::to_string).collect();
            rows.push(json!({
                "reference": reference, "platform": platform.as_str(), "digest": digest,
                "used_by": by,
            }));
            let digest = digest.unwrap_or_default();
            table.row(vec![reference, platform.as_str().to_owned(), digest, by.join(" ")]);
        }
        Self { text: Text::Table(table), rows }
    }

    /// Returns the sandboxes and jobs, instance by instance.
    pub(super) fn names(project: &Project) -> Self {
        let mut table = Table::new(&["NAME", "KIND"]);
        let mut rows = Vec::new();
        for (name, body) in &project.sandboxes {
            let kind = match body.kind {
                Kind::Service => "service",
                Kind::Job => "job",
            };
            rows.push(json!({ "address": format!("sandbox.{name}"), "name": name.to_string(), "kind": kind }));
            table.row(vec![name.to_string(), kind.to_owned()]);
        }
        Self { text: Text::Table(table), rows }
    }

    /// Returns a digest of each instance: as long as it is the same, nothing of it has changed.
    pub(super) fn hashes(project: &Project) -> Self {
        let mut table = Table::new(&["NAME", "HASH"]);
        let mut rows = Vec::new();
        for (name, body) in &project.sandboxes {
            rows.push(json!({ "address": format!("sandbox.{name}"), "hash": body.digest() }));
            table.row(vec![name.to_string(), body.digest().to_owned()]);
        }
        Self { text: Text::Table(table), rows }
    }
}

/// What stands for a value that is not shown.
const HIDDEN: &str = "***";

/// Returns a leaf as `web.memory.size = 1 GiB  Sandboxfile:22 (file)`.
fn line(leaf: &Leaf) -> String {
    let address = leaf.address.strip_prefix("sandbox.").unwrap_or(&leaf.address);
    let place = leaf.place.as_ref();
    let place = place.map_or_else(String::new, |place| format!("{}:{} ", place.file, place.line));
    format!("{address}.{} = {}  {place}({})", leaf.path, leaf.value, leaf.layer)
}

fn row(leaf: &Leaf) -> Value {
    json!({
        "address": leaf.address, "path": leaf.path, "value": leaf.value, "default": leaf.default,
        "class": leaf.cost.map(|cost| cost.to_string()), "layer": leaf.layer.to_string(),
        "place": leaf.place,
    })
}
