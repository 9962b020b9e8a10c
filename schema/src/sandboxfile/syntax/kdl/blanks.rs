//! What may stand between the words of a text: blanks, comments and line ends.

use super::Reader;
use super::aside::AsideKind;
use super::characters::{blank, newline};
use crate::sandboxfile::problem::{Code, Problem};

impl Reader<'_> {
    /// Skips blanks, block comments and escaped line ends; returns whether there were any.
    pub(super) fn skip_blanks(&mut self) -> Result<bool, Problem> {
        let start = self.at;
        loop {
            let rest = &self.bytes[self.at..];
            match rest {
                [b' ', ..] => self.at += 1,
                [b'/', b'*', ..] => self.block_comment()?,
                [b'\\', ..] => self.escaped_line()?,
                _ => match blank(rest) {
                    0 => return Ok(self.at > start),
                    length => self.at += length,
                },
            }
        }
    }

    /// Skips everything that may stand between nodes.
    pub(super) fn skip_lines(&mut self) -> Result<(), Problem> {
        loop {
            self.skip_blanks()?;
            let rest = &self.bytes[self.at..];
            match rest {
                [b'/', b'/', ..] => self.line_comment(),
                _ => match newline(rest) {
                    0 => return Ok(()),
                    length => self.at += length,
                },
            }
        }
    }

    fn line_comment(&mut self) {
        let start = self.at;
        while let Some(byte) = self.bytes.get(self.at) {
            let plain = *byte >= 0x20 && *byte < 0x80;
            if !plain && newline(&self.bytes[self.at..]) > 0 {
                break;
            }
            self.at += 1;
        }
        self.aside(AsideKind::LineComment, start, self.at);
    }

    fn block_comment(&mut self) -> Result<(), Problem> {
        let open = self.span(self.at, self.at + 2);
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at..).unwrap_or_default() {
                [b'/', b'*', ..] => {
                    depth += 1;
                    self.at += 2;
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        self.aside(AsideKind::BlockComment, open.start as usize, self.at);
                        return Ok(());
                    }
                }
                [_, ..] => self.at += 1,
                [] => {
                    let message = "a comment that begins with /* never ends";
                    return Err(Problem::error(Code::SYNTAX_KDL, message, open)
                        .help("write */ where it ends"));
                }
            }
        }
    }

    /// Takes `\` and the rest of its line, on which only blanks and comments may stand.
    fn escaped_line(&mut self) -> Result<(), Problem> {
        let mark = self.span(self.at, self.at + 1);
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            match rest {
                [] => return Ok(()),
                [b'/', b'*', ..] => self.block_comment()?,
                [b'/', b'/', ..] => self.line_comment(),
                _ => match (newline(rest), blank(rest)) {
                    (0, 0) => {
                        let message = "`\\` outside quotes must be the last thing on its line";
                        return Err(Problem::error(Code::SYNTAX_KDL, message, mark)
                            .help("put the value in quotes, or delete the backslash"));
                    }
                    (0, length) => self.at += length,
                    (length, _) => {
                        self.at += length;
                        return Ok(());
                    }
                },
            }
        }
    }
}
