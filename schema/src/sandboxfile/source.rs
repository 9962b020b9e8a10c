//! The files that were read: their names, their text, and where a byte stands in them.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::limits::Limits;
use super::problem::{Code, Problem};
use super::tree::Span;
use crate::project::Place;

/// Which reader a file is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own reader of KDL 2.
    Kdl,
    /// YAML 1.2, and JSON with it.
    Yaml,
}

impl Format {
    /// Returns the format that a file's name asks for; `None` where it asks for none of ours.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension().and_then(|suffix| suffix.to_str()) {
            None | Some("kdl" | "example") => Some(Self::Kdl),
            Some("yaml" | "yml" | "json") => Some(Self::Yaml),
            Some(_) => None,
        }
    }
}

/// One file as it was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, as it is shown in problems.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Which reader it is given to.
    pub format: Format,
}

/// Text of the files, for problems and for places.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<SourceText>,
}

/// One file's name and text.
#[derive(Clone, Debug)]
pub struct SourceText {
    /// The name that is shown.
    pub name: String,
    /// The text, from its first byte.
    pub text: String,
    line_starts: Vec<u32>,
    /// The characters before each [`STRIDE`]th byte; none where every byte is one.
    marks: Vec<u32>,
}

/// How far the counts of characters are apart.
const STRIDE: usize = 4096;

impl Sources {
    /// Adds a file and returns its number.
    pub fn add(&mut self, name: String, text: String) -> u16 {
        let (line_starts, marks) = (line_starts(&text), marks(&text));
        self.files.push(SourceText { name, text, line_starts, marks });
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// Returns the file that `span` lies in.
    #[must_use]
    pub fn file(&self, span: Span) -> Option<&SourceText> {
        self.files.get(usize::from(span.file))
    }

    /// Returns all files, in the order they were read.
    #[must_use]
    pub fn files(&self) -> &[SourceText] {
        &self.files
    }

    /// Returns where `span` starts, as people count.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        let (line, column) = self.position(span, span.start);
        let file = self.file(span).map_or_else(String::new, |file| file.name.clone());
        Place { file, line, column }
    }

    /// Returns line and column of `byte` in the file of `span`, both from 1.
    #[must_use]
    pub fn position(&self, span: Span, byte: u32) -> (u32, u32) {
        let Some(file) = self.file(span) else { return (1, 1) };
        let (line, column) = (file.line_at(byte as usize), file.column_at(byte as usize));
        (saturate(line).saturating_add(1), saturate(column).saturating_add(1))
    }

    /// Returns the text of `span`.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        let text = self.file(span).map_or("", |file| file.text.as_str());
        text.get(span.start as usize..span.end as usize).unwrap_or("")
    }
}

impl SourceText {
    /// Returns the line that `byte` lies in, from 0.
    #[must_use]
    pub fn line_at(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|start| *start as usize <= byte).max(1) - 1
    }

    /// Returns how many characters stand before `byte` on its line; a byte-order mark is none.
    #[must_use]
    pub fn column_at(&self, byte: usize) -> usize {
        let start = self.line_starts.get(self.line_at(byte)).map_or(0, |start| *start as usize);
        let mark = usize::from(start == 0 && byte > 0 && self.text.starts_with('\u{feff}'));
        self.characters(byte).saturating_sub(self.characters(start) + mark)
    }

    /// Returns how many characters begin before `byte`.
    fn characters(&self, byte: usize) -> usize {
        let byte = byte.min(self.text.len());
        match self.marks.get(byte / STRIDE) {
            None => byte,
            Some(mark) => {
                *mark as usize + characters(&self.text.as_bytes()[byte - byte % STRIDE..byte])
            }
        }
    }

    /// Returns the bytes of a line, from 0, without what ends it; of the last where it is beyond.
    #[must_use]
    pub fn line(&self, line: usize) -> Range<usize> {
        let last = self.line_starts.len().saturating_sub(1);
        let start = |line: usize| self.line_starts.get(line).map(|start| *start as usize);
        let from = start(line.min(last)).unwrap_or(0);
        let to = start(line + 1).unwrap_or(self.text.len());
        let text = self.text.get(from..to).unwrap_or("");
        from..from + text.trim_end_matches(['\r', '\n']).len()
    }
}

/// Counts the characters that begin in `bytes`: every byte begins one that goes on with none.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

fn marks(text: &str) -> Vec<u32> {
    if text.is_ascii() {
        return Vec::new();
    }
    let mut before = 0;
    let count = |part: &[u8]| {
        let mark = saturate(before);
        before += characters(part);
        mark
    };
    // One mark more than parts, for a place at the very end.
    text.as_bytes().chunks(STRIDE).chain([&[][..]]).map(count).collect()
}

/// Narrows a count that the limits keep far below the edge.
pub(crate) fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn line_starts(text: &str) -> Vec<u32> {
    let bytes = text.as_bytes();
    let mut starts = vec![0];
    for (at, byte) in bytes.iter().enumerate() {
        let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        if ends {
            starts.push(saturate(at + 1));
        }
    }
    starts
}

/// Checks that `bytes` are text that we read, and returns it; `file` is the number it will have.
///
/// # Errors
/// The problem names the byte where the file stops being such text.
pub fn check_text(
    bytes: &[u8],
    format: Format,
    file: u16,
    limits: &Limits,
) -> Result<String, Box<(String, Problem)>> {
    let lossy = || String::from_utf8_lossy(&bytes[..bytes.len().min(limits.file_bytes)]);
    let fail = |problem: Problem| Box::new((Cow::into_owned(lossy()), problem));
    let at = |start: usize, end: usize| Span { file, start: saturate(start), end: saturate(end) };
    if bytes.len() > limits.file_bytes {
        let place = at(limits.file_bytes, limits.file_bytes);
        let message = format!("the file has more than {} bytes", limits.file_bytes);
        let help = "raise limits { file-bytes } in config.kdl, or split the file";
        return Err(fail(Problem::error(Code::LIMIT_FILE_BYTES, message, place).help(help)));
    }
    if let Some(name) = foreign_encoding(bytes) {
        let message = format!("the file is {name}, not UTF-8");
        let problem = Problem::error(Code::FILE_NOT_UTF8, message, at(0, 0));
        return Err(fail(problem.help("save the file as UTF-8")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let message = format!("the file is not UTF-8 from byte {offset} on");
        let problem = Problem::error(Code::FILE_NOT_UTF8, message, at(offset, offset));
        // What is shown must have the same offsets up to the bad byte.
        let head = String::from_utf8_lossy(&bytes[..offset]).into_owned();
        Box::new((head, problem.help("save the file as UTF-8")))
    })?;
    match first_forbidden(text, format) {
        None => Ok(text.to_owned()),
        Some((offset, character)) => {
            let span = at(offset, offset + character.len_utf8());
            Err(Box::new((text.to_owned(), forbidden(offset, character, span))))
        }
    }
}

fn forbidden(offset: usize, character: char, span: Span) -> Problem {
    if character == '\u{feff}' {
        let message = format!("a byte-order mark stands inside the file, at byte {offset}");
        return Problem::error(Code::FILE_NOT_UTF8, message, span).help("delete it");
    }
    let name = match character {
        '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "direction control"
        }
        _ => "control character",
    };
    let code = u32::from(character);
    let message = format!("a {name}, U+{code:04X}, stands in the file");
    let help = format!("delete it, or write it as an escape in quotes: \"\\u{{{code:x}}}\"");
    Problem::error(Code::FILE_CONTROL_CHARACTER, message, span).help(help)
}

/// Tells UTF-16 and UTF-32 by their marks, or by a NUL among the first four bytes.
fn foreign_encoding(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(4)];
    match head {
        [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [0, 0, 0, _] | [_, 0, 0, 0] => Some("UTF-32"),
        _ if head.contains(&0) => Some("UTF-16"),
        _ => None,
    }
}

/// Returns the first character that is refused outside escapes, comments included.
fn first_forbidden(text: &str, format: Format) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    let mut at = if text.starts_with('\u{feff}') { 3 } else { 0 };
    while at < bytes.len() {
        let byte = bytes[at];
        if (0x20..0x7f).contains(&byte) || matches!(byte, b'\n' | b'\r' | b'\t') {
            at += 1;
            continue;
        }
        let character = text[at..].chars().next()?;
        if is_forbidden(character, format) {
            return Some((at, character));
        }
        at += character.len_utf8();
    }
    None
}

fn is_forbidden(character: char, format: Format) -> bool {
    match character {
        // Line ends of KDL.
        '\u{b}' | '\u{c}' | '\u{85}' => format == Format::Yaml,
        '\u{feff}'
        | '\u{200e}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], format: Format) -> Result<String, String> {
        check_text(bytes, format, 0, &Limits::default())
            .map_err(|failed| format!("{} {}", failed.1.code, failed.1.labels[0].span.start))
    }

    #[test]
    fn sf_f10_text_is_utf8_without_controls() {
        assert!(check(b"a \"\xc3\xa9\" // \t\r\n", Format::Kdl).is_ok_and(|text| text.len() == 13));
        assert_eq!(check(b"ab\xff", Format::Kdl), Err("msb::file::not-utf8 2".into()));
        assert_eq!(check(b"\xff\xfea\0", Format::Kdl), Err("msb::file::not-utf8 0".into()));
        assert_eq!(check(b"a\0b\0", Format::Yaml), Err("msb::file::not-utf8 0".into()));
        assert_eq!(check("a\u{feff}".as_bytes(), Format::Kdl), Err("msb::file::not-utf8 1".into()));
        let control = |at: u32| Err(format!("msb::file::control-character {at}"));
        assert_eq!(check(b"a \x1b", Format::Kdl), control(2));
        assert_eq!(check("// \u{202e}".as_bytes(), Format::Kdl), control(3));
        assert_eq!(check(b"a\x0c", Format::Yaml), control(1));
        assert!(check(b"a\x0c", Format::Kdl).is_ok_and(|text| text.len() == 2));
    }

    #[test]
    fn sf_f10_every_other_encoding_is_told_by_its_first_bytes() {
        let told = |bytes: &[u8]| {
            let failed = check_text(bytes, Format::Kdl, 0, &Limits::default()).unwrap_err();
            assert_eq!(failed.1.code, Code::FILE_NOT_UTF8, "{bytes:?}");
            failed.1.message.clone()
        };
        for bytes in [b"\xff\xfe\0\0a\0\0\0", b"\0\0\xfe\xff\0\0\0a", b"a\0\0\0b\0\0\0"] {
            assert!(told(bytes).contains("UTF-32"), "{bytes:?}");
        }
        for bytes in [b"\xff\xfea\0", b"\xfe\xff\0a", b"a\0b\0", b"\0a\0b"] {
            assert!(told(bytes).contains("UTF-16"), "{bytes:?}");
        }
        assert!(told(b"ab\xc3").contains("from byte 2 on"), "cut in the middle of a character");
        assert!(told(b"\xed\xa0\x80").contains("from byte 0 on"), "a surrogate");
        assert!(told(b"\xc0\xaf").contains("from byte 0 on"), "longer than it need be");
    }

    #[test]
    fn sf_f10_each_control_and_direction_mark_is_refused_in_both_formats() {
        let controls = (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32);
        let directions = [
            "\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}",
            "\u{2066}\u{2067}\u{2068}\u{2069}",
        ];
        let directions = directions.iter().flat_map(|marks| marks.chars());
        for c in controls.chain(directions) {
            for format in [Format::Kdl, Format::Yaml] {
                let text = format!("abcd // # {c}");
                let line_end = matches!(c, '\u{b}' | '\u{c}' | '\u{85}') && format == Format::Kdl;
                let expected = if matches!(c, '\t' | '\n' | '\r') || line_end {
                    Ok(text.clone())
                } else {
                    Err("msb::file::control-character 10".into())
                };
                assert_eq!(check(text.as_bytes(), format), expected, "{c:?} in {format:?}");
            }
        }
        for format in [Format::Kdl, Format::Yaml] {
            let text = "\u{feff}\u{2028}\u{2029}\u{200d}é";
            assert_eq!(check(text.as_bytes(), format), Ok(text.into()), "one mark at the start");
            let twice = "\u{feff}\u{feff}";
            assert_eq!(check(twice.as_bytes(), format), Err("msb::file::not-utf8 3".into()));
        }
    }

    #[test]
    fn sf_f11_a_file_has_a_limit_in_bytes() {
        let bytes = vec![b' '; (1 << 20) + 1];
        assert_eq!(check(&bytes, Format::Kdl), Err("msb::limit::file-bytes 1048576".into()));
    }

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        sources.add("f".into(), "\u{feff}é b\r\nc\rd\n".into());
        let at = |start: u32| sources.position(Span { file: 0, start, end: start }, start);
        assert_eq!(at(3), (1, 1));
        assert_eq!(at(6), (1, 3));
        assert_eq!(at(9), (2, 1));
        assert_eq!(at(11), (3, 1));
        assert_eq!(at(13), (4, 1));
        let mut sources = Sources::default();
        sources.add("f".into(), format!("a\n{}", "é".repeat(10_000)));
        for count in [0, 1, 2047, 2048, 4095, 9999, 10_000] {
            let place = Span { file: 0, start: 2 + 2 * count, end: 2 + 2 * count };
            assert_eq!(sources.position(place, place.start), (2, count + 1));
        }
    }
}
