//! Colour, which only repeats what words and symbols say; and ASCII twins of arrows.

use std::borrow::Cow;

use crate::context::{Environment, Stream, Terminal};

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Where a terminal takes it.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The colours in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Failures.
    Red,
    /// Warnings.
    Yellow,
    /// What is new or well.
    Green,
    /// What is less important.
    Grey,
    /// One of the colours of log prefixes.
    Prefix(u8),
}

/// How one stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colour: Ink,
    letters: Letters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Coloured,
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    Utf8,
    Ascii,
}

/// Colours of log prefixes: twelve without red and grey.
const PREFIXES: [u8; 12] = [33, 39, 43, 70, 78, 99, 135, 141, 172, 178, 208, 213];

/// Arrows and dots, and what stands for them where the locale is ASCII.
const TWINS: [(&str, &str); 8] = [
    ("→", "->"),
    ("…", "..."),
    ("↻", "^"),
    ("±", "-+"),
    ("·", "."),
    ("⇄", "<->"),
    ("✓", "ok"),
    ("×", "x"),
];

impl Style {
    /// A style without colour, in UTF-8.
    pub const PLAIN: Self = Self { colour: Ink::Plain, letters: Letters::Utf8 };

    /// Returns the style of a stream: the flag, else the environment, else what the stream is.
    #[must_use]
    pub fn of(when: When, environment: &Environment, terminal: &Terminal, stream: Stream) -> Self {
        let forced = environment.get("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let colour = match when {
            When::Always => true,
            When::Never => false,
            When::Auto if environment.get("NO_COLOR").is_some() => false,
            When::Auto => forced || (terminal.is_tty(stream) && terminal.is_capable),
        };
        let colour = if colour { Ink::Coloured } else { Ink::Plain };
        let letters = if terminal.is_utf8 { Letters::Utf8 } else { Letters::Ascii };
        Self { colour, letters }
    }

    /// Tells whether colour is used.
    #[must_use]
    pub fn is_coloured(self) -> bool {
        self.colour == Ink::Coloured
    }

    /// Tells whether the locale takes more than ASCII.
    #[must_use]
    pub fn is_utf8(self) -> bool {
        self.letters == Letters::Utf8
    }

    /// Returns text in a colour, where colour is used.
    #[must_use]
    pub fn paint<'a>(self, colour: Colour, text: &'a str) -> Cow<'a, str> {
        if self.colour == Ink::Plain {
            return Cow::Borrowed(text);
        }
        let code = match colour {
            Colour::Red => "1;31".to_owned(),
            Colour::Yellow => "1;33".to_owned(),
            Colour::Green => "32".to_owned(),
            Colour::Grey => "2".to_owned(),
            Colour::Prefix(at) => format!("38;5;{}", PREFIXES[usize::from(at) % PREFIXES.len()]),
        };
        Cow::Owned(format!("\u{1b}[{code}m{text}\u{1b}[0m"))
    }

    /// Returns text with arrows and dots that the locale takes.
    #[must_use]
    pub fn twins<'a>(self, text: &'a str) -> Cow<'a, str> {
        if self.letters == Letters::Utf8 || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(TWINS.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coloured(when: When, pairs: &[(&str, &str)]) -> bool {
        Style::of(when, &Environment::of(pairs), &Terminal::none(), Stream::Out).is_coloured()
    }

    #[test]
    fn the_flag_beats_the_environment_and_no_beats_force() {
        assert!(!coloured(When::Auto, &[]));
        assert!(coloured(When::Auto, &[("CLICOLOR_FORCE", "1")]));
        assert!(!coloured(When::Auto, &[("CLICOLOR_FORCE", "0")]));
        assert!(!coloured(When::Auto, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(coloured(When::Always, &[("NO_COLOR", "1")]));
        assert!(!coloured(When::Never, &[("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn an_ascii_locale_gets_ascii_arrows() {
        let ascii = Style { colour: Ink::Plain, letters: Letters::Ascii };
        assert_eq!(ascii.twins("1 GiB → 2 GiB …"), "1 GiB -> 2 GiB ...");
        assert_eq!(Style::PLAIN.twins("→"), "→");
    }
}
