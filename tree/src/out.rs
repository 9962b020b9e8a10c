//! Headers and data on their way out, in few large writes.

use std::io::{self, Write};

/// How much is collected before it is written.
const BUFFER_BYTES: usize = 256 * 1024;

/// A buffer before a stream; files are read straight into it.
#[derive(Debug)]
pub(crate) struct Out<W> {
    stream: W,
    buffer: Vec<u8>,
    filled: usize,
}

impl<W: Write> Out<W> {
    /// Returns an empty buffer before `stream`.
    pub(crate) fn new(stream: W) -> Self {
        Self { stream, buffer: vec![0; BUFFER_BYTES], filled: 0 }
    }

    /// Returns where up to `most` bytes may be put; never nothing, unless nothing is wanted.
    pub(crate) fn space(&mut self, most: u64) -> io::Result<&mut [u8]> {
        if self.filled == BUFFER_BYTES {
            self.flush()?;
        }
        let end =
            usize::try_from(most).map_or(BUFFER_BYTES, |most| self.filled.saturating_add(most));
        Ok(&mut self.buffer[self.filled..end.min(BUFFER_BYTES)])
    }

    /// Takes note that so many bytes were put there.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(BUFFER_BYTES);
    }

    /// Takes bytes.
    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let space = self.space(bytes.len() as u64)?;
            let (now, later) = bytes.split_at(space.len());
            space.copy_from_slice(now);
            self.filled(now.len());
            bytes = later;
        }
        Ok(())
    }

    /// Takes so many zeros.
    pub(crate) fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let space = self.space(count)?;
            space.fill(0);
            let now = space.len();
            self.filled(now);
            count -= now as u64;
        }
        Ok(())
    }

    /// Writes what was collected.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.buffer[..self.filled])?;
        self.filled = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_out_in_order_however_large() {
        let mut written = Vec::new();
        let mut out = Out::new(&mut written);
        let large: Vec<u8> =
            (0..BUFFER_BYTES + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
        out.put(b"head").unwrap();
        out.put(&large).unwrap();
        out.zeros(BUFFER_BYTES as u64 + 3).unwrap();
        out.space(2).unwrap().copy_from_slice(b"ab");
        out.filled(2);
        out.flush().unwrap();
        let expected = [&b"head"[..], &large, &vec![0; BUFFER_BYTES + 3], b"ab"].concat();
        assert!(written == expected);
    }
}
