//! Which streams are terminals, and how large: examined once, at start.

use std::io::IsTerminal;

use super::Environment;

/// One of the three standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What is read.
    In,
    /// The result.
    Out,
    /// Everything else.
    Err,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    streams: [bool; 3],
    /// Columns of the terminal, or 80.
    pub columns: u16,
    /// Rows of the terminal, or 24.
    pub rows: u16,
    /// Whether `TERM` is something that can be repainted.
    pub is_capable: bool,
    /// Whether the locale takes arrows and dots that are not ASCII.
    pub is_utf8: bool,
}

impl Terminal {
    /// Examines the process's standard streams.
    #[must_use]
    pub fn examine(environment: &Environment) -> Self {
        let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams = [input.is_terminal(), output.is_terminal(), errors.is_terminal()];
        let size = rustix::termios::tcgetwinsize(&output)
            .or_else(|_| rustix::termios::tcgetwinsize(&errors))
            .or_else(|_| rustix::termios::tcgetwinsize(&input))
            .ok()
            .filter(|size| size.ws_col > 0);
        let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col, size.ws_row.max(1)));
        let asked = environment.get("COLUMNS").and_then(|text| text.parse().ok());
        Self {
            streams,
            columns: asked.unwrap_or(columns),
            rows,
            is_capable: environment.get("TERM").is_none_or(|term| term != "dumb"),
            is_utf8: is_utf8(environment),
        }
    }

    /// Returns a terminal where nothing is one, as in a pipe.
    #[must_use]
    pub const fn none() -> Self {
        Self { streams: [false; 3], columns: 80, rows: 24, is_capable: false, is_utf8: true }
    }

    /// Tells whether a stream is a terminal.
    #[must_use]
    pub const fn is_tty(&self, stream: Stream) -> bool {
        match stream {
            Stream::In => self.streams[0],
            Stream::Out => self.streams[1],
            Stream::Err => self.streams[2],
        }
    }
}

/// A locale that says nothing is taken for UTF-8, as in a container; `C` and `POSIX` are ASCII.
fn is_utf8(environment: &Environment) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| environment.get(name));
    locale.is_none_or(|locale| {
        let lower = locale.to_ascii_lowercase();
        lower.contains("utf-8") || lower.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_about_arrows() {
        for (pairs, expected) in [
            (&[][..], true),
            (&[("LANG", "de_DE.UTF-8")][..], true),
            (&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")][..], false),
            (&[("LC_CTYPE", "C.utf8")][..], true),
        ] {
            assert_eq!(is_utf8(&Environment::of(pairs)), expected, "{pairs:?}");
        }
    }
}
