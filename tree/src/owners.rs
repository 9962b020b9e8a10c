//! What owners are called, as the system's own files say; a number without an entry has no name.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;

use schema::archive::write::Owner;

/// How much of a file is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Names by number.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Owners {
    /// Reads the two files; one that is not there names nobody.
    pub(crate) fn read() -> Self {
        Self { users: names(&start("/etc/passwd")), groups: names(&start("/etc/group")) }
    }

    /// Returns the names of a user and a group.
    pub(crate) fn of(&self, uid: u32, gid: u32) -> Owner<'_> {
        Owner {
            user: self.users.get(&uid).map_or(&[], Vec::as_slice),
            group: self.groups.get(&gid).map_or(&[], Vec::as_slice),
        }
    }
}

fn start(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A file that cannot be read names nobody.
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_or_else(|_| Vec::new(), |_| bytes)
}

/// Returns the names of lines of `name:password:number:…`; the first one of a number holds.
fn names(text: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, number) = (fields.next().unwrap_or_default(), fields.nth(1));
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        if let Some(number) = number.filter(|_| !name.is_empty()) {
            names.entry(number).or_insert_with(|| name.to_vec());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_a_number_names_it() {
        let names = names(b"root:x:0:0::/root:/bin/sh\n# none\ntoor:x:0:\n:x:7:\napp:x:1000:1000");
        assert_eq!(names.get(&0), Some(&b"root".to_vec()));
        assert_eq!(names.get(&1000), Some(&b"app".to_vec()));
        assert_eq!(names.len(), 2);
    }
}
