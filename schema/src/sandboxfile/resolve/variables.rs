//! Variables: their values, and every value of the document with them filled in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decode::{Decoder, not_a_regex};
use super::instances::MARKS;
use super::project::identity;
use super::unit::Unit;
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

/// Where the values of a unit's variables come from, besides its own defaults.
#[derive(Clone, Copy)]
pub(super) enum Feed<'u> {
    /// The command line, and the host variables that the unit names.
    Command,
    /// The file that includes the unit, and nothing else.
    Include {
        /// The values, with where they are written.
        given: &'u BTreeMap<String, (String, Span)>,
    },
}

/// What names mean at one place of the document.
struct Scope<'v> {
    variables: &'v Variables,
    /// The names that are always there, with their values.
    built_in: Vec<(&'static str, String)>,
    /// Whether this is a sandbox or job, which has instances.
    instances: Instances,
}

/// Whether a place has instances, whose values are put in later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Instances {
    Some,
    None,
}

impl Scope<'_> {
    fn lookup(&self, name: &str) -> Lookup<'_> {
        if let Some((_, value)) = self.built_in.iter().find(|(known, _)| *known == name) {
            return Lookup::Value(Cow::Borrowed(value));
        }
        let mark = MARKS.iter().find(|(known, _)| *known == name);
        if let (Instances::Some, Some((_, mark))) = (self.instances, mark) {
            return Lookup::Value(Cow::Borrowed(mark));
        }
        match self.variables.get(name) {
            None => Lookup::Undeclared,
            Some(Variable { poisoned: true, .. }) => Lookup::Poisoned,
            Some(Variable { value: None, .. }) => Lookup::Unset,
            Some(Variable { value: Some(value), .. }) => Lookup::Value(Cow::Borrowed(value)),
        }
    }

    /// Returns every name with a dot that means something here.
    fn dotted(&self) -> Vec<&'static str> {
        let marks = MARKS.iter().filter(|_| self.instances == Instances::Some);
        let built_in = self.built_in.iter().map(|(name, _)| *name);
        built_in.chain(marks.map(|(name, _)| *name)).collect()
    }
}

const SECRET_ENDINGS: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIALS"];

/// A variable as `config --variables` and plans tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldVariable {
    /// Its name.
    pub name: String,
    /// Its value; `None` where it has none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Option<VariableSource>,
    /// Whether its name says that it is not to be shown.
    pub secret: bool,
}

/// Where the value of a variable comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VariableSource {
    /// `--var` or a variable file.
    Command,
    /// A variable of the host.
    Host,
    /// The file that includes its unit.
    Include,
    /// Its own default.
    Default,
}

impl VariableSource {
    /// Returns the word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command-line",
            Self::Host => "environment",
            Self::Include => "include",
            Self::Default => "default",
        }
    }
}

/// Tells whether a variable of that name probably holds a secret.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

impl Decoder<'_, '_> {
    /// Gives every declared variable its value.
    fn variables(&mut self, document: &Group<'_>, feed: Feed<'_>) -> Variables {
        let mut variables = Variables::new();
        for member in document.members("var") {
            let Some(group) = member.group() else { continue };
            let help = "write letters, digits and _, not beginning with a digit";
            let read = value::checked(&identity(member), Code::VALUE_NAME, variable_name, help);
            let Some(name) = self.take(read) else { continue };
            if is_secret_name(&name) {
                let message = format!("variable `{name}` looks like a secret, and is public");
                let problem = Problem::warning(Code::RULE_SECRET_IN_VAR, message, member.at);
                let help = "plans and state hold variables; use from-env in `env` instead";
                self.problems.push(problem.help(help));
            }
            let before = self.problems.errors();
            let value = self.variable_value(&name, group, (member.at, feed));
            let poisoned = self.problems.errors() > before || !group.dropped.is_empty();
            variables.insert(name, Variable { value, at: member.at, poisoned });
        }
        self.undeclared_values(&variables, feed);
        variables
    }

    /// Refuses values of variables that nobody declares.
    fn undeclared_values(&mut self, variables: &Variables, feed: Feed<'_>) {
        let start = Span { file: 0, start: 0, end: 0 };
        let given: Vec<(String, Span, String)> = match feed {
            Feed::Command => {
                let named = self.inputs.vars.keys();
                let said =
                    |name: &String| format!("--var {}: no such variable is declared", shown(name));
                named.map(|name| (name.clone(), start, said(name))).collect()
            }
            Feed::Include { given } => given
                .iter()
                .map(|(name, (_, at))| {
                    let said = format!("the included file declares no variable `{}`", shown(name));
                    (name.clone(), *at, said)
                })
                .collect(),
        };
        for (name, at, message) in given {
            if variables.contains_key(&name) {
                continue;
            }
            let near = nearest(&name, variables.keys().map(String::as_str)).map(str::to_owned);
            let problem = Problem::error(Code::VAR_UNDECLARED, message, at);
            let help = format!("declare it: var \"{}\"", shown(&name));
            self.problems.push(problem.nearest(near.as_deref()).help(help));
        }
    }

    fn variable_value(
        &mut self,
        name: &str,
        group: &Group<'_>,
        (at, feed): (Span, Feed<'_>),
    ) -> Option<String> {
        let own = |name: &str| match group.get(name).map(|item| &item.content) {
            Some(Content::Scalar(scalar)) => Some(scalar),
            _ => None,
        };
        let read = own("default").map(|scalar| value::text(scalar, usize::MAX).map(str::to_owned));
        let default = read.and_then(|read| self.take(read));
        let inputs = self.inputs;
        let host = own("from-env").and_then(|scalar| inputs.environment.get(scalar.text.as_ref()));
        let (value, source) = match feed {
            Feed::Command => match (inputs.vars.get(name), host) {
                (Some(value), _) => (Some(value.clone()), VariableSource::Command),
                (None, Some(value)) => (Some(value.clone()), VariableSource::Host),
                (None, None) => (default, VariableSource::Default),
            },
            Feed::Include { given } => match given.get(name) {
                Some((value, _)) => (Some(value.clone()), VariableSource::Include),
                None => (default, VariableSource::Default),
            },
        };
        if let (Feed::Command, Some(from)) = (feed, own("from-env")) {
            self.host_variables.insert(from.text.to_string());
        }
        if matches!(feed, Feed::Command) {
            self.told_variable(name, value.as_ref(), source);
        }
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
                .map_err(|error| not_a_regex(&error))
        };
        let help = "write it in the dialect of the regex crate; it has no look-around";
        self.take(value::checked(scalar, Code::VALUE_REGEX, rule, help))
    }

    fn told_variable(&mut self, name: &str, value: Option<&String>, source: VariableSource) {
        let secret = is_secret_name(name);
        let (name, value) = (name.to_owned(), value.cloned());
        let source = if value.is_some() { Some(source) } else { None };
        self.told.push(ToldVariable { name, value, source, secret });
    }

    /// Fills variables into every value of the document; what differs from instance to instance
    /// stays as marks.
    pub(super) fn interpolate(&mut self, document: &mut Group<'_>, unit: &Unit<'_>) {
        let variables = self.variables(document, unit.feed);
        let folder = self.inputs.folder.display().to_string();
        let built_in = vec![("project.name", unit.project.to_owned()), ("project.dir", folder)];
        let instances = Instances::None;
        let mut scope = Scope { variables: &variables, built_in, instances };
        let mut room = self.room;
        for item in &mut document.items {
            match (item.key.name, &mut item.content) {
                ("var", _) => {}
                ("sandbox" | "job" | "template", Content::Keyed(members)) => {
                    for member in members {
                        self.fill_sandbox(member, unit.prefix, (&mut scope, &mut room));
                    }
                }
                (_, content) => _ = self.fill(content, &scope, &mut room),
            }
        }
        self.room = room;
    }

    fn fill_sandbox(
        &mut self,
        member: &mut Member<'_>,
        prefix: &str,
        (scope, room): (&mut Scope<'_>, &mut usize),
    ) {
        if !has_dollar(&member.content) {
            return;
        }
        let name = if prefix.is_empty() {
            member.name.to_string()
        } else {
            format!("{prefix}-{}", member.name)
        };
        scope.built_in.push(("sandbox.name", name));
        scope.instances = Instances::Some;
        self.fill(&mut member.content, scope, room);
        scope.instances = Instances::None;
        scope.built_in.pop();
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
            let fixed = matches!(item.key.name, "from" | "moved-from" | "remove");
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
                let written = std::mem::replace(&mut scalar.text, Cow::Owned(text));
                scalar.written.get_or_insert(written);
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
    if name.starts_with("matrix.") {
        let message = format!("`${{{shown_name}}}` is not supported yet");
        let help = "write the sandboxes out one by one for now";
        return Problem::error(Code::SCHEMA_NOT_YET, message, at).help(help);
    }
    let message = format!("no variable `{shown_name}` is declared");
    let known = scope.variables.keys().map(String::as_str);
    let near = nearest(name, known.chain(scope.dotted()));
    let mut problem = Problem::error(Code::VAR_UNDECLARED, message, at);
    if let Some(near) = near {
        problem = match scope.variables.get(near) {
            Some(variable) => problem.related(variable.at, format!("did you mean `{near}`?")),
            None => problem.label(format!("did you mean `{near}`?")),
        };
        problem.nearest = Some(near.to_owned());
    }
    if name.contains('.') {
        let built_in = listed(scope.dotted());
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
