//! Sensitive values, read once from their pipe.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use super::BootError;

/// The longest environment value, and the most values.
const VALUE_BYTES_MAX: usize = 1024 * 1024;
const VALUES_MAX: usize = 8192;

/// How the name of an environment value begins.
const ENV: &str = "env:";

/// Values by name. Never printed.
#[derive(Default)]
pub(crate) struct Values(BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values(***, {} of them)", self.0.len())
    }
}

impl Values {
    /// Reads the pipe to its end.
    pub(super) fn read(pipe: OwnedFd) -> Result<Self, BootError> {
        Self::parse(&mut File::from(pipe))
            .map_err(|error| BootError::Values { why: error.to_string() })
    }

    fn parse(pipe: &mut impl io::Read) -> io::Result<Self> {
        let mut values = BTreeMap::new();
        while let Some(name_bytes) = name_length(pipe)? {
            let name = String::from_utf8(read_exactly(pipe, usize::from(name_bytes))?)
                .map_err(|_| io::Error::other("a name is not text"))?;
            let mut length = [0; 4];
            pipe.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length > VALUE_BYTES_MAX || values.len() >= VALUES_MAX {
                return Err(io::Error::other(format!("{name} is beyond the limits")));
            }
            values.insert(name, read_exactly(pipe, length)?);
        }
        Ok(Self(values))
    }

    /// Returns the value of an environment variable.
    pub(super) fn env(&self, key: &str) -> Result<&str, BootError> {
        let failed = |why: String| BootError::Values { why };
        let value = self.0.get(&format!("{ENV}{key}"));
        let value = value.ok_or_else(|| failed(format!("there is none for {key}")))?;
        std::str::from_utf8(value).map_err(|_| failed(format!("that of {key} is not text")))
    }
}

/// Returns the length of the next name, or `None` at the end of the pipe.
fn name_length(pipe: &mut impl io::Read) -> io::Result<Option<u16>> {
    let mut first = [0];
    if pipe.read(&mut first)? == 0 {
        return Ok(None);
    }
    let mut second = [0];
    pipe.read_exact(&mut second)?;
    Ok(Some(u16::from_be_bytes([first[0], second[0]])))
}

fn read_exactly(pipe: &mut impl io::Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    pipe.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_name_and_never_printed() {
        let pipe = [&b"\0\x07env:KEY\0\0\0\x03abc"[..], b"\0\x05env:B\0\0\0\0"].concat();
        let values = Values::parse(&mut pipe.as_slice()).unwrap();
        assert_eq!(values.env("KEY").unwrap(), "abc");
        assert_eq!(values.env("B").unwrap(), "");
        values.env("C").unwrap_err();
        assert!(!format!("{values:?}").contains("abc"));
    }

    #[test]
    fn a_pipe_that_ends_early_is_an_error() {
        for cut in [1, 4, 9, 12] {
            let pipe = &b"\0\x07env:KEY\0\0\0\x03abc"[..cut];
            Values::parse(&mut &*pipe).expect_err(&format!("cut at {cut}"));
        }
    }
}
