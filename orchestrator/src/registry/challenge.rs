//! How a registry wants to be asked: `WWW-Authenticate`, read leniently and bounded.

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password, for the registry itself.
    Basic,
    /// A token of somebody.
    Bearer {
        /// Who gives it.
        realm: String,
        /// For what.
        service: Option<String>,
        /// To do what.
        scope: Option<String>,
    },
}

/// The longest header that is read.
const HEADER_BYTES_MAX: usize = 8192;

/// Returns the challenge that serves best: a token before a password.
pub(super) fn best<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.flat_map(read).collect();
    let bearer = all.iter().find(|one| matches!(one, Challenge::Bearer { .. }));
    bearer.or_else(|| all.first()).cloned()
}

/// Reads the challenges of one header.
fn read(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header.get(..header.len().min(HEADER_BYTES_MAX)).unwrap_or_default().trim();
    while !rest.is_empty() {
        let (scheme, after) = word(rest);
        if scheme.is_empty() {
            break;
        }
        let (parameters, after) = parameters(after);
        let get = |name: &str| {
            let mut all = parameters.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = get("realm")
        {
            found.push(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
        }
        rest = after;
    }
    found
}

/// Splits off a word.
fn word(text: &str) -> (&str, &str) {
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c));
    text.split_at(text.find(is_end).unwrap_or(text.len()))
}

/// Reads `key=value` pairs up to the next challenge.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let start = rest.trim_start_matches([' ', '\t', ',']);
        let (key, after) = word(start);
        let Some(after) = after.trim_start().strip_prefix('=').filter(|_| !key.is_empty()) else {
            return (found, start);
        };
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, after) = word(after);
                (value.to_owned(), after)
            }
        };
        found.push((key.to_owned(), value));
        rest = after;
    }
}

/// Reads up to the closing quote.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                   scope=\"repository:a/b:pull,push\"";
        let wanted = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:a/b:pull,push"),
        );
        assert_eq!(best([hub].into_iter()), Some(wanted));
        let both = ["Basic realm=\"x\", Bearer realm = \"https://a/\\\"t\\\"\" , service=s"];
        assert_eq!(best(both.into_iter()), Some(bearer("https://a/\"t\"", Some("s"), None)));
        assert_eq!(best(["basic"].into_iter()), Some(Challenge::Basic));
    }

    #[test]
    fn nonsense_is_no_challenge_and_ends() {
        for text in ["", ",,,", "=", "Bearer", "Bearer realm", "Digest a=\"", "\u{e9}", "Bearer ="]
        {
            assert_eq!(best([text].into_iter()), None, "{text}");
        }
    }
}
