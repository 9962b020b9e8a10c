//! What higher layers took the place of, leaf by leaf.

use std::collections::HashMap;

use super::layers::{Layer, Layers};
use crate::project::Place;
use crate::sandboxfile::merge::Beaten;
use crate::sandboxfile::resolve::Resolved;

/// A value that does not hold, because a higher layer says another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Its line, from where it begins.
    pub text: String,
    /// Where it is written.
    pub place: Place,
    /// Its layer.
    pub layer: Layer,
    /// What was laid over it.
    pub by: String,
}

/// Everything that was beaten, by the address it was written for.
pub(super) struct Beats<'r> {
    resolved: &'r Resolved,
    by_address: HashMap<String, Vec<(String, &'r Beaten, Layer)>>,
}

impl<'r> Beats<'r> {
    pub(super) fn of(resolved: &'r Resolved, layers: &Layers) -> Self {
        let mut by_address: HashMap<String, Vec<_>> = HashMap::new();
        for beaten in resolved.trace.iter().flat_map(|trace| &trace.beaten) {
            let Some((address, path)) = whose(beaten) else { continue };
            let layer = layers.of_span(beaten.at);
            by_address.entry(address).or_default().push((path, beaten, layer));
        }
        Self { resolved, by_address }
    }

    /// Returns what a leaf took the place of, also within the templates that it went through.
    pub(super) fn of_leaf(&self, address: &str, path: &str, layer: &Layer) -> Vec<Beat> {
        let mut found = Vec::new();
        let mut open = vec![address.to_owned()];
        open.extend(template(layer));
        let mut seen = 0;
        while let Some(address) = open.get(seen).cloned() {
            seen += 1;
            for (key, beaten, layer) in self.by_address.get(&address).into_iter().flatten() {
                if !is_about(key, path) {
                    continue;
                }
                found.push(self.beat(beaten, layer));
                open.extend(template(layer).filter(|address| !open.contains(address)));
            }
        }
        found
    }

    fn beat(&self, beaten: &Beaten, layer: &Layer) -> Beat {
        let sources = self.resolved.origins.sources();
        let text = sources.file(beaten.at).map_or("", |file| {
            let line = file.line(file.line_at(beaten.at.start as usize));
            file.text.get(line).unwrap_or_default().trim()
        });
        let (place, by) = (sources.place(beaten.at), beaten.by.clone());
        Beat { text: text.to_owned(), place, layer: layer.clone(), by }
    }
}

fn template(layer: &Layer) -> Option<String> {
    match layer {
        Layer::Template(name) => Some(format!("template.{name}")),
        _ => None,
    }
}

/// Returns the address and the path of what was beaten, as leaves are called.
fn whose(beaten: &Beaten) -> Option<(String, String)> {
    let mut keys = beaten.keys.iter().map(String::as_str);
    let address = match beaten.address.as_str() {
        "" => match keys.next()? {
            "project" => "project".to_owned(),
            kind @ ("sandbox" | "volume" | "secret" | "template") => {
                format!("{kind}.{}", keys.next()?)
            }
            "job" => format!("sandbox.{}", keys.next()?),
            _ => return None,
        },
        address => address.to_owned(),
    };
    let path: Vec<&str> = keys
        .enumerate()
        .map(|(at, key)| match key {
            "mount" if at == 0 => "mounts",
            "port" if at == 0 => "ports",
            key => key,
        })
        .collect();
    Some((address, path.join(".")))
}

/// Tells whether what was beaten at `key` is what a leaf says.
fn is_about(key: &str, path: &str) -> bool {
    if key == path {
        return true;
    }
    match path.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')) {
        // The value of a line and its properties are beaten by themselves.
        Some(rest) => !key.is_empty() && rest != "max",
        None => key.starts_with("mounts.") && mount(key) == mount(path),
    }
}

/// Returns the mount that a path is of.
fn mount(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(mount, _)| mount)
}
