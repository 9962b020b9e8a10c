//! The child that reads or writes a tree of files for a session, as the session's user.
//!
//! It is this program again, told by its first word what to do: standard input
//! or output is the archive, standard error the notes about it. Its only code
//! beside that is to say whether the tree came to its end.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use schema::wire::files::{Destination, FileNote, Links, NoteKind, Owners};
use tree::{Gauge, LinkRule, Rules, Source, Target, Totals};

use crate::sys;

/// The first word of a child that sends a tree.
pub(crate) const GET: &str = "tree-get";

/// The first word of a child that takes a tree.
pub(crate) const PUT: &str = "tree-put";

/// Returns how a link's treatment is written on the command line.
pub(crate) const fn links_word(links: Links) -> &'static str {
    match links {
        Links::Kept => "kept",
        Links::Followed => "followed",
    }
}

/// Returns how a destination is written on the command line.
pub(crate) const fn destination_word(destination: Destination) -> &'static str {
    match destination {
        Destination::Either => "either",
        Destination::Folder => "folder",
        Destination::NewFolder => "new-folder",
    }
}

/// Returns how the choice of owners is written on the command line.
pub(crate) const fn owners_word(owners: Owners) -> &'static str {
    match owners {
        Owners::Own => "own",
        Owners::Kept => "kept",
    }
}

/// Does the errand that the words name; `None` if they name none.
pub(crate) fn run(words: &[OsString]) -> Option<ExitCode> {
    let (first, rest) = words.split_first()?;
    let done = match (first.to_str()?, rest) {
        (GET, [path, name, links]) => {
            let links =
                [Links::Kept, Links::Followed].into_iter().find(|l| links_word(*l) == links)?;
            get(Source { path: Path::new(path), name: name.as_bytes(), links })
        }
        (PUT, [path, into, owners, name @ ..]) => {
            let known = [Destination::Either, Destination::Folder, Destination::NewFolder];
            let into = known.into_iter().find(|known| destination_word(*known) == into)?;
            let owners =
                [Owners::Own, Owners::Kept].into_iter().find(|o| owners_word(*o) == owners)?;
            let name = name.first().map(|name| name.as_bytes());
            put(Path::new(path), name, into, owners)
        }
        _ => return None,
    };
    let (note, code) = match done {
        Ok(Totals { files, bytes }) => (FileNote::copied(files, bytes), ExitCode::SUCCESS),
        Err(note) => (note, ExitCode::FAILURE),
    };
    tell(&note);
    Some(code)
}

fn get(source: Source<'_>) -> Result<Totals, FileNote> {
    let out = file_of(io::stdout())?;
    tree::pack(source, out, &Gauge::default(), &mut |note| tell(&note))
}

fn put(
    path: &Path,
    name: Option<&[u8]>,
    into: Destination,
    owners: Owners,
) -> Result<Totals, FileNote> {
    // A client that goes hangs up; what it leaves half done is taken away first.
    sys::signals::ignore_hang_up();
    let stream = file_of(io::stdin())?;
    let target = Target::find(path, name, into)?;
    let bits = match owners {
        Owners::Own => 0o777,
        Owners::Kept => 0o7777,
    };
    let rules = Rules {
        owners,
        // Where a link leads in a guest is the guest's own affair.
        links: LinkRule::All,
        file_bits: bits,
        folder_bits: bits,
        reserve_bytes: None,
    };
    tree::unpack(stream, &target, rules, &Gauge::default(), &mut |note| tell(&note))
}

/// Returns a standard stream without the buffer that the library puts before it.
fn file_of(stream: impl std::os::fd::AsFd) -> Result<File, FileNote> {
    let own = stream.as_fd().try_clone_to_owned();
    own.map(File::from).map_err(|error| {
        let note = FileNote::new(NoteKind::Failed, b"", "a standard stream cannot be used");
        note.with_errno(error.raw_os_error())
    })
}

/// Says something about the tree; if nobody hears it, nothing else can be done.
fn tell(note: &FileNote) {
    let bytes = note.to_bytes();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match sys::io::write(io::stderr().as_fd(), rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
}
