//! `--output` of `save`, which is a path, told from the form of results, which stands before it.

use std::ffi::OsString;

use clap::CommandFactory as _;

use super::Cli;
use super::failure::Failure;

/// Holds that nobody gave a form before the word `save`: it would be taken for the archive's name.
pub(super) fn no_form_before(arguments: &[OsString]) -> Result<(), Failure> {
    let cli = Cli::command();
    let takes_a_value = |flag: &str| {
        let found = cli.get_arguments().find(|argument| match flag.strip_prefix("--") {
            Some(long) => argument.get_long() == Some(long),
            None => argument.get_short().is_some_and(|short| flag == format!("-{short}")),
        });
        found.is_some_and(|argument| argument.get_action().takes_values())
    };
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next().filter(|word| word != "save") {
        if word == "--output" || word.starts_with("--output=") {
            let message = "`--output` of `save` is the archive's path, and stands behind it";
            return Err(Failure::usage("usage::conflict", message)
                .hint("Write `msb --json save REF -o PATH` for a document."));
        }
        if word.starts_with('-') && takes_a_value(&word) {
            words.next();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_before_the_command_is_not_taken_for_a_path() {
        let check = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            no_form_before(&words).is_ok()
        };
        for line in [
            "msb save a:1 --output json",
            "msb image save a:1 --output=json",
            "msb -p save save a:1 -o x",
            "msb --json save a:1",
            "msb --home --output save a:1",
        ] {
            assert!(check(line), "{line}");
        }
        for line in [
            "msb --output json save a:1",
            "msb --output=json save a:1",
            "msb image --output json save a:1",
            "msb -p save --output json save a:1",
        ] {
            assert!(!check(line), "{line}");
        }
    }
}
