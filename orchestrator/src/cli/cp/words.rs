//! What a word of `msb cp` means: a path in a sandbox, a path here, a stream.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use schema::wire::files::Destination;

use crate::cli::call::Call;
use crate::cli::failure::Failure;
use crate::cli::targets::Target;
use crate::context::Stream;

/// A side as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// `NAME:PATH`.
    Guest {
        /// The sandbox.
        target: Target,
        /// The path.
        path: Vec<u8>,
    },
    /// A path of this host.
    Host(PathBuf),
    /// `-`.
    Stream,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest { target, path } => write!(f, "{target}:{}", super::shown(path)),
            Self::Host(path) => f.write_str(&super::shown(path.as_os_str().as_bytes())),
            Self::Stream => f.write_str("-"),
        }
    }
}

/// Reads a word: it is of a sandbox where what stands before its first colon can be a name.
pub(super) fn parse(word: &OsStr) -> Word {
    let bytes = word.as_bytes();
    if bytes == b"-" {
        return Word::Stream;
    }
    let colon = bytes.iter().position(|byte| *byte == b':');
    let target = colon.and_then(|at| std::str::from_utf8(&bytes[..at]).ok()?.parse().ok());
    match (target, colon) {
        (Some(target), Some(at)) => Word::Guest { target, path: bytes[at + 1..].to_vec() },
        _ => Word::Host(word.into()),
    }
}

/// Splits the sources from the destination.
///
/// # Errors
/// There is no destination, no sandbox on either side, or an archive where there can be none.
pub(super) fn refuse_the_impossible<'w>(
    call: &Call,
    words: &'w [Word],
) -> Result<(&'w [Word], &'w Word), Failure> {
    let value = |message: &str| Failure::usage("usage::value", message);
    let conflict = |message: &str| Failure::usage("usage::conflict", message);
    let Some((to, sources @ [first, ..])) = words.split_last() else {
        return Err(value("no destination was named").hint("Write `msb cp SRC DST`."));
    };
    let is_guest = |word: &Word| matches!(word, Word::Guest { .. });
    if !is_guest(to) && !sources.iter().all(is_guest) {
        return Err(value("neither side is in a sandbox")
            .hint("Write the side in a sandbox as `NAME:PATH`."));
    }
    let is_stream = |word: &Word| *word == Word::Stream;
    if sources.len() > 1 && (is_stream(to) || sources.iter().any(is_stream)) {
        return Err(conflict("an archive is of one source").hint("Copy one after the other."));
    }
    let terminal = call.context.terminal;
    if is_stream(to) && terminal.is_tty(Stream::Out) {
        return Err(value("an archive is not written to a terminal")
            .hint("Send standard output to a file or a program."));
    }
    if is_stream(first) && terminal.is_tty(Stream::In) {
        return Err(value("an archive is not read from a terminal")
            .hint("Give a file or a program as standard input."));
    }
    if is_stream(to) && !call.report.is_text() {
        return Err(conflict("standard output cannot hold the archive and a document")
            .hint("Leave out `--output`."));
    }
    Ok((sources, to))
}

/// Returns what a destination must be: a folder where its path ends like one, or where several
/// sources, or the names of an archive, go there.
pub(super) fn destination(to: &Word, sources: &[Word]) -> Destination {
    let path = match to {
        Word::Guest { path, .. } => path.as_slice(),
        Word::Host(path) => path.as_os_str().as_bytes(),
        Word::Stream => return Destination::Either,
    };
    match path {
        [.., b'/'] => Destination::NewFolder,
        _ if sources.len() > 1 || sources.contains(&Word::Stream) => Destination::Folder,
        _ => Destination::Either,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: &str) {
        let told = match parse(OsStr::new(word)) {
            Word::Guest { target, path } => format!("guest {target} {}", path.escape_ascii()),
            Word::Host(path) => format!("host {}", path.display()),
            Word::Stream => "stream".into(),
        };
        assert_eq!(told, expected, "{word}");
    }

    #[test]
    fn a_name_before_a_colon_is_a_sandbox() {
        check("web:/etc/x", "guest web /etc/x");
        check("web:", "guest web ");
        check("shop/web.2:a:b", "guest shop/web[2] a:b");
        check("web[0]:x", "guest web[0] x");
        check("./a:b", "host ./a:b");
        check("/a:b", "host /a:b");
        check("A:b", "host A:b");
        check("web", "host web");
        check("-", "stream");
    }

    #[test]
    fn a_destination_that_must_be_a_folder_says_so() {
        let word = |word: &str| parse(OsStr::new(word));
        let of = |to: &str, sources: &[&str]| {
            let sources: Vec<Word> = sources.iter().map(|source| word(source)).collect();
            destination(&word(to), &sources)
        };
        assert_eq!(of("web:/srv", &["a"]), Destination::Either);
        assert_eq!(of("web:/srv", &["a", "b"]), Destination::Folder);
        assert_eq!(of("web:/srv", &["-"]), Destination::Folder);
        assert_eq!(of("web:/srv/", &["-"]), Destination::NewFolder);
        assert_eq!(of("out/", &["web:a", "web:b"]), Destination::NewFolder);
        assert_eq!(of("web:", &["a"]), Destination::Either);
    }
}
