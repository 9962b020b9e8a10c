//! What a first release does without: refused by name, never accepted and ignored.

/// Commands that are not built yet.
const COMMANDS: &[&str] = &[
    "completion",
    "history",
    "lsp",
    "mcp",
    "self",
    "serve",
    "snap",
    "snapshot",
    "ssh",
    "sync",
    "upgrade",
    "why",
];

/// Flags that are not built yet, by command.
const FLAGS: &[(&str, &[&str])] = &[
    ("up", &["--rollback"]),
    ("run", DEFINITION),
    ("create", DEFINITION),
    ("doctor", &["--bundle"]),
    ("setup", &["--no-templates"]),
];

const DEFINITION: &[&str] = &[
    "--init",
    "--on-secret-violation",
    "--root-write",
    "--secret",
    "--secret-passthrough",
    "--snapshot",
    "--tls-bypass",
    "--tls-ca",
    "--tls-ca-key",
    "--tls-intercept",
    "--tls-port",
    "--trust-host-cas",
    "--upstream-ca",
    "--no-block-quic",
];

/// Tells whether a command is planned and not built.
#[must_use]
pub(crate) fn command(path: &[&str], name: &str) -> bool {
    path.is_empty() && COMMANDS.contains(&name)
}

/// Tells whether a flag of a command is planned and not built; `path` is `volume ls`.
#[must_use]
pub(crate) fn flag(path: &str, flag: &str) -> bool {
    let flag = flag.split_once('=').map_or(flag, |(flag, _)| flag);
    FLAGS.iter().any(|(command, later)| *command == path && later.contains(&flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_is_told_from_what_is_unknown() {
        assert!(command(&[], "ssh") && !command(&[], "shh"));
        assert!(!command(&["volume"], "ssh"));
        assert!(
            flag("run", "--secret=A@a.example")
                && flag("up", "--rollback")
                && !flag("up", "--port")
        );
    }
}
