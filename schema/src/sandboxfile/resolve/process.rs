//! What runs in a sandbox: arguments, environment, user and the way it ends.

use super::decode::Decoder;
use super::variables::variable_name;
use crate::name::{EnvKey, SecretName, check_name};
use crate::project::{ArgumentList, EnvValue, Kind, Limit, Rlimit, Sandbox, StopSignal, UserRef};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::keys::{Shape, Type};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::Span;
use crate::sandboxfile::value;

impl Decoder<'_, '_> {
    /// Reads everything about the workload into `sandbox`.
    pub(super) fn process(
        &mut self,
        group: &Group<'_>,
        sandbox: &mut Sandbox,
        member: &Member<'_>,
    ) {
        sandbox.command = self.arguments(group, "command");
        sandbox.entrypoint = self.arguments(group, "entrypoint");
        self.command_rules(group, sandbox, member);
        sandbox.workdir = self.guest_path(group, "workdir");
        if let Some((scalar, _)) = self.scalar(group, "user", "user") {
            let rule =
                |text: &str| UserRef::parse(text).ok_or_else(|| format!("`{text}` is not a user"));
            let help = "write a name or a number, then perhaps : and a group";
            sandbox.user = self.take(value::checked(scalar, Code::VALUE_USER, rule, help));
        }
        if let Some((scalar, _)) = self.scalar(group, "hostname", "hostname") {
            let rule = |text: &str| check_name(text).map(|()| text.to_owned());
            let help = "write lower-case letters, digits and dashes, at most 63";
            sandbox.hostname = self.take(value::checked(scalar, Code::VALUE_NAME, rule, help));
        }
        if let Some(shell) = self.guest_path(group, "shell") {
            sandbox.shell = shell;
        }
        if let Some((scalar, _)) = self.scalar(group, "stop-signal", "stop-signal") {
            let rule = |text: &str| {
                StopSignal::parse(text).ok_or_else(|| format!("`{text}` is not a signal"))
            };
            let help = "write the name of a signal, such as \"TERM\" or \"INT\"";
            sandbox.stop_signal = self.take(value::checked(scalar, Code::VALUE_CHOICE, rule, help));
        }
        if let Some(grace) = self.duration(group, "stop-grace", "stop-grace") {
            sandbox.stop_grace = grace;
        }
        self.success_codes(group, sandbox);
        self.environment(group, sandbox);
        self.env_files(group, sandbox);
        self.rlimits(group, sandbox);
    }

    fn arguments(&mut self, group: &Group<'_>, name: &'static str) -> ArgumentList {
        let Some(item) = group.get(name) else { return ArgumentList::Image };
        self.note(name, item.at);
        if matches!(item.content, Content::Null(_)) {
            return ArgumentList::Nothing;
        }
        let Some(words) = self.words(group, name) else { return ArgumentList::Image };
        let bytes: usize = words.iter().map(String::len).sum();
        if words.len() > WORDS_MAX || bytes > WORDS_BYTES_MAX {
            let message = format!("`{name}` has more than {WORDS_MAX} words, or more than 1 MiB");
            self.error(Code::VALUE_RANGE, message, item.at, "put it into a script");
        }
        if words.is_empty() { ArgumentList::Nothing } else { ArgumentList::Words(words) }
    }

    fn command_rules(&mut self, group: &Group<'_>, sandbox: &Sandbox, member: &Member<'_>) {
        let Some(item) = group.get("command") else { return };
        match &sandbox.command {
            ArgumentList::Nothing if sandbox.kind == Kind::Job => {
                let message = "a job without a command has nothing to complete";
                let problem = Problem::error(Code::SCHEMA_NOT_FOR_JOBS, message, item.at)
                    .related(member.at, "the job is here")
                    .help("write its command, or make it a sandbox");
                self.problems.push(problem);
            }
            ArgumentList::Words(words) => {
                if let [word] = words.as_slice()
                    && word.trim().contains([' ', '\t', '\n'])
                    && sandbox.entrypoint == ArgumentList::Image
                {
                    self.one_word(word, item.at);
                }
            }
            ArgumentList::Nothing | ArgumentList::Image => {}
        }
    }

    fn one_word(&mut self, word: &str, at: Span) {
        let message = format!("the command is one word with blanks in it: `{}`", shown(word));
        let split: Vec<String> =
            word.split_whitespace().map(|part| format!("\"{}\"", shown(part))).collect();
        let (list, shell) = if self.is_yaml(at) {
            (format!("command: [{}]", split.join(", ")), "[sh, -c, …]")
        } else {
            (format!("command {}", split.join(" ")), "\"sh\" \"-c\" \"…\"")
        };
        let help = format!("write {list}, or {shell} where a shell is wanted");
        self.error(Code::RULE_COMMAND_IS_ONE_WORD, message, at, &help);
    }

    fn success_codes(&mut self, group: &Group<'_>, sandbox: &mut Sandbox) {
        let Some(item) = group.get("success-codes") else { return };
        let Content::List(items) = &item.content else { return };
        self.note("success-codes", item.at);
        let mut codes = std::collections::BTreeSet::new();
        for scalar in items {
            let read = value::count(scalar, (0, 255));
            codes.extend(self.take(read).and_then(|code| u8::try_from(code).ok()));
        }
        if !codes.is_empty() {
            sandbox.success_codes = codes;
        }
    }

    fn environment(&mut self, group: &Group<'_>, sandbox: &mut Sandbox) {
        let mut bytes = 0;
        for member in group.members("env") {
            let rule = EnvKey::parse;
            let help = "write letters, digits, _, . and -, not beginning with a digit or MSB_";
            let identity = super::project::identity(member);
            let key = self.take(value::checked(&identity, Code::VALUE_ENV_KEY, rule, help));
            let value = self.env_value(member);
            let (Some(key), Some(value)) = (key, value) else { continue };
            self.note_with(|| format!("env.{key}"), member.at);
            if let EnvValue::Literal(text) = &value {
                let pair = key.as_str().len() + 1 + text.len();
                bytes += pair;
                if pair > ENV_PAIR_BYTES_MAX {
                    let message = format!("`{key}` and its value have more than 131071 bytes");
                    let help = "keep large text in a file of its own";
                    self.error(Code::VALUE_RANGE, message, member.at, help);
                }
            }
            sandbox.env.insert(key, value);
        }
        if bytes > ENV_BYTES_MAX
            && let Some(item) = group.get("env")
        {
            let message = "the environment has more than 1 MiB";
            self.error(Code::VALUE_RANGE, message, item.at, "keep large text in files");
        }
    }

    fn env_files(&mut self, group: &Group<'_>, sandbox: &mut Sandbox) {
        let Some(item) = group.get("env-file") else { return };
        let Content::List(items) = &item.content else { return };
        self.note("env-file", item.at);
        for scalar in items {
            sandbox.env_files.extend(self.host_path(scalar));
        }
    }

    fn rlimits(&mut self, group: &Group<'_>, sandbox: &mut Sandbox) {
        let Some(Shape::Map { key: Type::Choice(names), .. }) =
            group.get("rlimits").map(|item| item.key.shape)
        else {
            return;
        };
        for member in group.members("rlimits") {
            let name =
                self.take(value::choice(&super::project::identity(member), "rlimits", names));
            let limit = self.rlimit(member);
            if let (Some(name), Some(limit)) = (name, limit) {
                self.note_with(|| format!("rlimits.{name}"), member.at);
                sandbox.rlimits.insert(name.to_owned(), limit);
            }
        }
    }

    fn rlimit(&mut self, member: &Member<'_>) -> Option<Rlimit> {
        let group = member.group()?;
        let rule = |text: &str| match text {
            "unlimited" => Ok(Limit::Unlimited),
            text => match crate::units::parse_count(text) {
                Some(count) => Ok(Limit::Count(count)),
                None => Err(format!("`{text}` is not a limit")),
            },
        };
        let help = "write a whole number, or \"unlimited\"";
        let scalar = group.principal.as_ref()?;
        let soft = self.take(value::checked(scalar, Code::VALUE_COUNT, rule, help))?;
        let hard = match group.get("hard").map(|item| &item.content) {
            Some(Content::Scalar(hard)) => {
                let limit = self.take(value::checked(hard, Code::VALUE_COUNT, rule, help))?;
                if limit < soft {
                    let message = "the hard limit is below the soft one";
                    let problem = Problem::error(Code::RULE_MAX_BELOW_VALUE, message, hard.span)
                        .related(scalar.span, "the soft one is here")
                        .help("raise `hard`, or leave it out");
                    self.problems.push(problem);
                    return None;
                }
                limit
            }
            _ => soft,
        };
        Some(Rlimit { soft, hard })
    }

    fn env_value(&mut self, member: &Member<'_>) -> Option<EnvValue> {
        let group = member.group()?;
        let mut places: Vec<(&str, Span)> = Vec::new();
        places.extend(group.principal.as_ref().map(|scalar| ("a value", scalar.span)));
        let sources = group.items.iter().map(|item| (item.key.name, item.at));
        places.extend(sources);
        match places.as_slice() {
            [] if !group.dropped.is_empty() => None,
            [] => {
                let message = format!("`{}` has no value", shown(&member.name));
                let help = "write a value, or from-env with the name of a host variable";
                self.error(Code::SCHEMA_MISSING_KEY, message, member.at, help);
                None
            }
            [_] => self.only_env_value(group),
            [(first, at), (second, there), ..] => {
                let name = shown(&member.name);
                let message = format!("`{name}` has {first} and `{second}`");
                let problem = Problem::error(Code::SCHEMA_CONFLICT, message, *there)
                    .related(*at, "the other is here")
                    .help("keep the one that gives its value");
                self.problems.push(problem);
                None
            }
        }
    }

    fn only_env_value(&mut self, group: &Group<'_>) -> Option<EnvValue> {
        if let Some(scalar) = &group.principal {
            let read = value::text(scalar, usize::MAX).map(str::to_owned);
            let text = self.take(read)?;
            if looks_like_a_key(&text) {
                let message =
                    "this value looks like a key, and everybody who reads the file has it";
                let problem = Problem::warning(Code::RULE_SECRET_IN_ENV, message, scalar.span);
                self.problems.push(problem.help("keep it on the host: write a `secret`, or from-env with the name of a variable"));
            }
            return Some(EnvValue::Literal(text));
        }
        let item = group.items.first()?;
        let Content::Scalar(scalar) = &item.content else { return None };
        if item.key.name == "from-file" {
            return self.host_path(scalar).map(EnvValue::FromFile);
        }
        if item.key.name == "secret" {
            return self.name(scalar, SecretName::parse).map(EnvValue::Secret);
        }
        let help = "write the name of a variable of the host";
        let read = value::checked(scalar, Code::VALUE_ENV_KEY, variable_name, help);
        self.take(read).map(EnvValue::FromEnv)
    }
}

/// Returns whether a text begins like the keys of well-known services, or is long and random.
fn looks_like_a_key(text: &str) -> bool {
    if text.len() >= 20 && KEY_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return true;
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'_' | b'-');
    if text.len() < 32 || !text.bytes().all(plain) || text.starts_with('/') {
        return false;
    }
    let kinds = [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
    let mixed = kinds.iter().all(|kind: &fn(&u8) -> bool| text.bytes().any(|b| kind(&b)));
    let mut seen = [0_u32; 256];
    text.bytes().for_each(|b| seen[usize::from(b)] += 1);
    // Words repeat their letters; random text of this length does not.
    let most = seen.iter().max().copied().unwrap_or(0);
    mixed && usize::try_from(most).unwrap_or(0) * 6 <= text.len()
}

const KEY_PREFIXES: &[&str] = &[
    "sk-",
    "sk_live_",
    "rk_live_",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "npm_",
];
const WORDS_MAX: usize = 1024;
const WORDS_BYTES_MAX: usize = 1 << 20;
const ENV_PAIR_BYTES_MAX: usize = 131_071;
const ENV_BYTES_MAX: usize = 1 << 20;
