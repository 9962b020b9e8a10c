//! Templates: what several sandboxes take over with `from`.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::Decoder;
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value;

/// The templates of a document, each with what it takes over laid below it.
struct Templates<'a> {
    written: BTreeMap<String, Member<'a>>,
    /// Templates that are whole; `None` for one that has been reported.
    whole: BTreeMap<String, Option<Group<'a>>>,
    used: BTreeSet<String>,
}

impl Decoder<'_, '_> {
    /// Lays every sandbox and job over the template that it names.
    pub(super) fn apply_templates(&mut self, document: &mut Group<'_>) {
        let written: BTreeMap<String, Member<'_>> = document
            .members("template")
            .iter()
            .map(|member| (member.name.to_string(), member.clone()))
            .collect();
        for member in written.values() {
            self.check_template(member);
        }
        let mut templates = Templates { written, whole: BTreeMap::new(), used: BTreeSet::new() };
        for item in &mut document.items {
            let (Content::Keyed(members), name @ ("sandbox" | "job")) =
                (&mut item.content, item.key.name)
            else {
                continue;
            };
            for member in members {
                self.apply(member, name, &mut templates);
            }
        }
        // What no sandbox uses is made whole too, so that its mistakes are found.
        let names: Vec<String> = templates.written.keys().cloned().collect();
        for name in names {
            let used = templates.used.contains(&name);
            self.whole(&name, &mut templates);
            if let (false, Some(member)) = (used, templates.written.get(&name)) {
                let message = format!("template `{}` is not used", shown(&name));
                let problem = Problem::warning(Code::RULE_UNUSED_TEMPLATE, message, member.at);
                self.problems.push(problem.help("delete it, or write `from` where it is meant"));
            }
        }
    }

    fn check_template(&mut self, member: &Member<'_>) {
        let rule = |text: &str| crate::name::check_name(text);
        let help = "write lower-case letters, digits and dashes, at most 63";
        let name = super::project::identity(member);
        self.take(value::checked(&name, Code::VALUE_NAME, rule, help));
        let Some(group) = member.group() else { return };
        for name in ["lifecycle", "matrix"] {
            if let Some(item) = group.get(name) {
                let message = format!("a template has no key `{name}`");
                let help = "write it in the sandboxes themselves";
                self.error(Code::SCHEMA_UNKNOWN_KEY, message, item.at, help);
            }
        }
    }

    fn apply<'a>(&mut self, member: &mut Member<'a>, key: &str, templates: &mut Templates<'a>) {
        let Content::Group(group) = &mut member.content else { return };
        let Some(from) = from(group) else { return };
        let (name, from) = (from.text.to_string(), from.clone());
        if !templates.written.contains_key(&name) {
            self.unknown_template(&from, templates);
            group.dropped.push("from");
            return;
        }
        templates.used.insert(name.clone());
        let own = std::mem::take(group);
        *group = match self.whole(&name, templates) {
            Some(below) => {
                self.layering.enter(&format!("sandbox.{}", member.name), "the sandbox itself");
                let mut merged = self.layering.lay(below, own, key);
                merged.items.retain(|item| item.key.name != "from");
                merged
            }
            None => Group { dropped: [own.dropped, vec!["from"]].concat(), ..own },
        };
    }

    fn unknown_template(&mut self, from: &Scalar<'_>, templates: &Templates<'_>) {
        let known = templates.written.keys().map(String::as_str);
        let problem = value::unknown_reference("template", from, known);
        self.problems.push(problem);
    }

    /// Makes a template whole; follows its chain without recursion.
    fn whole<'a>(&mut self, name: &str, templates: &mut Templates<'a>) -> Option<Group<'a>> {
        if let Some(whole) = templates.whole.get(name) {
            return whole.clone();
        }
        let mut chain: Vec<(String, Group<'a>, Option<Span>)> = Vec::new();
        let mut next = Some(name.to_owned());
        let mut whole = None;
        while let Some(name) = next.take() {
            if let Some(known) = templates.whole.get(&name) {
                whole.clone_from(known);
                if known.is_none() {
                    chain.iter().for_each(|(name, ..)| {
                        templates.whole.insert(name.clone(), None);
                    });
                    return None;
                }
                break;
            }
            if let Some(start) = chain.iter().position(|(seen, ..)| *seen == name) {
                self.template_cycle(&chain[start..]);
                for (name, ..) in &chain {
                    templates.whole.insert(name.clone(), None);
                }
                return None;
            }
            let Some(member) = templates.written.get(&name) else { break };
            let group = member.group().cloned().unwrap_or_default();
            let up = from(&group).cloned();
            chain.push((name, group, up.as_ref().map(|scalar| scalar.span)));
            if let Some(up) = up {
                if templates.written.contains_key(up.text.as_ref()) {
                    templates.used.insert(up.text.to_string());
                    next = Some(up.text.to_string());
                } else {
                    self.unknown_template(&up, templates);
                }
            }
            if chain.len() > CHAIN_MAX
                && let Some((_, _, Some(at))) = chain.last()
            {
                let message = format!("more than {CHAIN_MAX} templates build on one another");
                self.error(Code::SCHEMA_CONFLICT, message, *at, "join some of them");
                next = None;
            }
        }
        for (name, group, _) in chain.into_iter().rev() {
            let mut merged = match whole.take() {
                Some(below) => {
                    self.layering.enter(&format!("template.{name}"), &format!("template {name}"));
                    self.layering.lay(below, group, "template")
                }
                None => group,
            };
            merged.items.retain(|item: &Item<'_>| item.key.name != "from");
            templates.whole.insert(name, Some(merged.clone()));
            whole = Some(merged);
        }
        whole
    }

    fn template_cycle(&mut self, chain: &[(String, Group<'_>, Option<Span>)]) {
        let spans: Vec<Span> = chain.iter().filter_map(|(_, _, at)| *at).collect();
        let first = (0..spans.len()).min_by_key(|index| spans[*index]).unwrap_or(0);
        let at = |step: usize| (first + step) % chain.len();
        let name = |step: usize| chain[at(step)].0.as_str();
        let words: Vec<&str> = (0..=chain.len()).map(name).collect();
        let message = format!("these templates build on one another: {}", words.join(" → "));
        let Some(start) = spans.get(first) else { return };
        let mut problem = Problem::error(Code::REF_CYCLE, message, *start).label(format!(
            "{} builds on {}",
            name(0),
            name(1)
        ));
        for step in 1..spans.len() {
            let text = format!("{} builds on {}", name(step), name(step + 1));
            problem = problem.related(spans[at(step)], text);
        }
        self.problems.push(problem.help("remove one `from`"));
    }
}

const CHAIN_MAX: usize = 8;

fn from<'g, 'a>(group: &'g Group<'a>) -> Option<&'g Scalar<'a>> {
    match group.get("from").map(|item| &item.content) {
        Some(Content::Scalar(scalar)) => Some(scalar),
        _ => None,
    }
}
