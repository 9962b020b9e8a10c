//! Variables: their values, and every value of the document with them filled in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::decode::Decoder;
use super::project::identity;
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::interpolate::{Fault, Lookup, expand};
use crate::sandboxfile::problem::{Code, Problem, listed, nearest, shown};
use crate::sandboxfile::tree::{Scalar, ScalarKind, Span};
use crate::sandboxfile::value;

/// The variables of a project, by name.
pub(super) type Variables = BTreeMap<String, Variable>;

/// A variable.
pub(super) struct Variable {
    /// Its value, where it has one.
    value: Option<String>,
    /// Where it is declared.
    at: Span,
    /// It is in disorder and has been reported; nothing more is said about its uses.
    poisoned: bool,
}

/// What names mean at one place of the document.
struct Scope<'v> {
    variables: &'v Variables,
    /// The names that are always there, with their values.
    built_in: Vec<(&'static str, String)>,
}

impl Scope<'_> {
    fn lookup(&self, name: &str) -> Lookup<'_> {
        if let Some((_, value)) = self.built_in.iter().find(|(known, _)| *known == name) {
            return Lookup::Value(Cow::Borrowed(value));
        }
        match self.variables.get(name) {
            None => Lookup::Undeclared,
            Some(Variable { poisoned: true, .. }) => Lookup::Poisoned,
            Some(Variable { value: None, .. }) => Lookup::Unset,
            Some(Variable { value: Some(value), .. }) => Lookup::Value(Cow::Borrowed(value)),
        }
    }
}

const SECRET_ENDINGS: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIALS"];

impl Decoder<'_, '_> {
    /// Gives every declared variable its value.
    pub(super) fn variables(&mut self, document: &Group<'_>) -> Variables {
        let mut variables = Variables::new();
        for member in document.members("var") {
            let Some(group) = member.group() else { continue };
            let help = "write letters, digits and _, not beginning with a digit";
            let read = value::checked(&identity(member), Code::VALUE_NAME, variable_name, help);
            let Some(name) = self.take(read) else { continue };
            if SECRET_ENDINGS.iter().any(|ending| name.to_ascii_uppercase().ends_with(ending)) {
                let message = format!("variable `{name}` looks like a secret, and is public");
                let problem = Problem::warning(Code::RULE_SECRET_IN_VAR, message, member.at);
                let help = "plans and state hold variables; use from-env in `env` instead";
                self.problems.push(problem.help(help));
            }
            let before = self.problems.errors();
            let value = self.variable_value(&name, group, member.at);
            let poisoned = self.problems.errors() > before || !group.dropped.is_empty();
            variables.insert(name, Variable { value, at: member.at, poisoned });
        }
        let inputs = self.inputs;
        for name in inputs.vars.keys().filter(|name| !variables.contains_key(*name)) {
            let message = format!("--var {}: no such variable is declared", shown(name));
            let near = nearest(name, variables.keys().map(String::as_str)).map(str::to_owned);
            let start = Span { file: 0, start: 0, end: 0 };
            let problem = Problem::error(Code::VAR_UNDECLARED, message, start);
            let help = format!("declare it: var \"{}\"", shown(name));
            self.problems.push(problem.nearest(near.as_deref()).help(help));
        }
        variables
    }

    fn variable_value(&mut self, name: &str, group: &Group<'_>, at: Span) -> Option<String> {
        let own = |name: &str| match group.get(name).map(|item| &item.content) {
            Some(Content::Scalar(scalar)) => Some(scalar),
            _ => None,
        };
        let read = own("default").map(|scalar| value::text(scalar, usize::MAX).map(str::to_owned));
        let default = read.and_then(|read| self.take(read));
        let inputs = self.inputs;
        let host = own("from-env").and_then(|scalar| inputs.environment.get(scalar.text.as_ref()));
        let value = inputs.vars.get(name).or(host).cloned().or(default);
        let Some(pattern) = own("pattern") else { return value };
        let regex = self.whole_regex(pattern);
        let (Some(value), Some(regex)) = (&value, regex) else { return value };
        if !regex.is_match(value) {
            let message = format!("the value of `{name}` does not match its pattern");
            let problem = Problem::error(Code::VAR_PATTERN, message, at)
                .related(pattern.span, "the pattern is here")
                .help(format!("give it a value that matches {} as a whole", shown(&pattern.text)));
            self.problems.push(problem);
        }
        Some(value.clone())
    }

    fn whole_regex(&mut self, scalar: &Scalar<'_>) -> Option<regex::Regex> {
        let rule = |text: &str| {
            if text.len() > REGEX_BYTES_MAX {
                return Err(format!("a regular expression has at most {REGEX_BYTES_MAX} bytes"));
            }
            regex::RegexBuilder::new(&format!("^(?:{text})$"))
                .size_limit(REGEX_COMPILED_BYTES_MAX)
                .build()
                .map_err(|_| "this is not a regular expression".to_owned())
        };
        let help = "write it in the dialect of the regex crate; it has no look-around";
        self.take(value::checked(scalar, Code::VALUE_REGEX, rule, help))
    }

    /// Fills variables into every value of the document.
    pub(super) fn interpolate(&mut self, document: &mut Group<'_>, project: &str) {
        let variables = self.variables(document);
        let folder = self.inputs.folder.display().to_string();
        let built_in = vec![("project.name", project.to_owned()), ("project.dir", folder)];
        let mut scope = Scope { variables: &variables, built_in };
        let mut room = self.inputs.limits.expanded_bytes;
        for item in &mut document.items {
            match (item.key.name, &mut item.content) {
                ("var", _) => {}
                ("sandbox" | "job" | "template", Content::Keyed(members)) => {
                    for member in members {
                        self.fill_sandbox(member, &mut scope, &mut room);
                    }
                }
                (_, content) => _ = self.fill(content, &scope, &mut room),
            }
        }
    }

    fn fill_sandbox(&mut self, member: &mut Member<'_>, scope: &mut Scope<'_>, room: &mut usize) {
        if !has_dollar(&member.content) {
            return;
        }
        let name = member.name.to_string();
        scope.built_in.truncate(2);
        scope.built_in.extend([("sandbox.name", name.clone()), ("sandbox.instance", name)]);
        self.fill(&mut member.content, scope, room);
        scope.built_in.truncate(2);
    }

    /// Fills in whatever was written; returns whether all of it could be.
    fn fill(&mut self, content: &mut Content<'_>, scope: &Scope<'_>, room: &mut usize) -> bool {
        let mut all = true;
        match content {
            Content::Null(_) => {}
            Content::Scalar(scalar) => all = self.fill_scalar(scalar, scope, room),
            Content::List(items) => {
                items.iter_mut().for_each(|scalar| all &= self.fill_scalar(scalar, scope, room));
            }
            Content::Group(group) => all = self.fill_group(group, scope, room),
            Content::Rows(rows) => rows.retain_mut(|row| self.fill_group(row, scope, room)),
            Content::Map(members) | Content::Keyed(members) | Content::Tagged(members) => {
                members.retain_mut(|member| self.fill(&mut member.content, scope, room));
            }
        }
        all
    }

    /// Fills in a group; keys that cannot be filled in are not judged any further.
    fn fill_group(&mut self, group: &mut Group<'_>, scope: &Scope<'_>, room: &mut usize) -> bool {
        let principal = group.principal.as_mut();
        let all = principal.is_none_or(|scalar| self.fill_scalar(scalar, scope, room));
        let mut dropped = Vec::new();
        group.items.retain_mut(|item| {
            let fixed = matches!(item.key.name, "from" | "moved-from");
            let filled = fixed || self.fill(&mut item.content, scope, room);
            if !filled {
                dropped.push(item.key.name);
            }
            filled
        });
        group.dropped.extend(dropped);
        all
    }

    fn fill_scalar(
        &mut self,
        scalar: &mut Scalar<'_>,
        scope: &Scope<'_>,
        room: &mut usize,
    ) -> bool {
        if !scalar.text.contains('$') {
            return true;
        }
        match expand(&scalar.text, &|name: &str| scope.lookup(name), room) {
            Ok(text) => {
                scalar.text = Cow::Owned(text);
                scalar.kind = ScalarKind::Quoted;
                true
            }
            Err(fault) => {
                let problem = self.describe(&fault, scalar, scope);
                problem.into_iter().for_each(|problem| self.problems.push(problem));
                false
            }
        }
    }

    fn describe(&self, fault: &Fault, scalar: &Scalar<'_>, scope: &Scope<'_>) -> Option<Problem> {
        let span = |at: usize| self.interpolation(scalar, at);
        Some(match fault {
            Fault::Poisoned => return None,
            Fault::Syntax(at) => {
                let message = "this interpolation is not closed, or has no name";
                Problem::error(Code::VAR_SYNTAX, message, span(*at))
                    .help("write ${NAME}, or $${ for the characters themselves")
            }
            Fault::Depth(at) => {
                let message = "interpolations stand more than 8 deep";
                Problem::error(Code::VAR_SYNTAX, message, span(*at)).help("use fewer levels")
            }
            Fault::TooLong => {
                let most = self.inputs.limits.expanded_bytes;
                let message = format!("interpolation makes more than {most} bytes");
                Problem::error(Code::LIMIT_EXPANDED_BYTES, message, scalar.span)
                    .help("raise limits { expanded-bytes } in config.kdl")
            }
            Fault::Unset(at, name, said) => unset(name, said.as_deref(), span(*at), scope),
            Fault::Undeclared(at, name) => undeclared(name, span(*at), scope),
        })
    }

    /// Returns where the interpolation at byte `at` of a value stands in the file.
    fn interpolation(&self, scalar: &Scalar<'_>, at: usize) -> Span {
        let source = self.sources.text(scalar.span);
        let head = &scalar.text[at..];
        let end = head.find('}').map_or(head.len(), |end| end + 1);
        let word = &head[..end];
        let Some(found) = source.find(word) else { return scalar.span };
        let start = scalar.span.start + crate::sandboxfile::source::saturate(found);
        let end = start + crate::sandboxfile::source::saturate(word.len());
        Span { start, end, ..scalar.span }
    }
}

const REGEX_BYTES_MAX: usize = 512;
const REGEX_COMPILED_BYTES_MAX: usize = 1 << 20;

fn unset(name: &str, said: Option<&str>, at: Span, scope: &Scope<'_>) -> Problem {
    let message = match said {
        Some(said) => format!("variable `{name}` has no value: {}", shown(said)),
        None => format!("variable `{name}` has no value"),
    };
    let problem = Problem::error(Code::VAR_UNSET, message, at);
    let problem = match scope.variables.get(name) {
        Some(variable) => problem.related(variable.at, "it is declared here"),
        None => problem,
    };
    problem.help(format!("give --var {name}=VALUE, or a default where it is declared"))
}

fn undeclared(name: &str, at: Span, scope: &Scope<'_>) -> Problem {
    let shown_name = shown(name);
    if name.starts_with("replica.") || name.starts_with("matrix.") {
        let message = format!("`${{{shown_name}}}` is not supported yet");
        let help = "write the sandboxes out one by one for now";
        return Problem::error(Code::SCHEMA_NOT_YET, message, at).help(help);
    }
    let message = format!("no variable `{shown_name}` is declared");
    let known = scope.variables.keys().map(String::as_str);
    let near = nearest(name, known.chain(scope.built_in.iter().map(|(name, _)| *name)));
    let mut problem = Problem::error(Code::VAR_UNDECLARED, message, at);
    if let Some(near) = near {
        problem = match scope.variables.get(near) {
            Some(variable) => problem.related(variable.at, format!("did you mean `{near}`?")),
            None => problem.label(format!("did you mean `{near}`?")),
        };
        problem.nearest = Some(near.to_owned());
    }
    if name.contains('.') {
        let built_in = listed(scope.built_in.iter().map(|(name, _)| *name));
        return problem.help(format!("the names with a dot here are {built_in}"));
    }
    problem.help(format!(
        "declare it: var \"{shown_name}\" from-env=\"{shown_name}\"; \
         or write $${{{shown_name}}} for the text itself"
    ))
}

/// Checks `[A-Za-z_][A-Za-z0-9_]{0,127}`.
pub(super) fn variable_name(text: &str) -> Result<String, String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let good = (1..=128).contains(&text.len())
        && !text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(word);
    if good { Ok(text.to_owned()) } else { Err(format!("`{text}` is not the name of a variable")) }
}

fn has_dollar(content: &Content<'_>) -> bool {
    let scalar = |scalar: &Scalar<'_>| scalar.text.contains('$');
    let group = |group: &Group<'_>| {
        group.principal.as_ref().is_some_and(scalar)
            || group.items.iter().any(|item| has_dollar(&item.content))
    };
    match content {
        Content::Null(_) => false,
        Content::Scalar(value) => scalar(value),
        Content::List(items) => items.iter().any(scalar),
        Content::Group(inner) => group(inner),
        Content::Rows(rows) => rows.iter().any(group),
        Content::Map(members) | Content::Keyed(members) | Content::Tagged(members) => {
            members.iter().any(|member| has_dollar(&member.content))
        }
    }
}
