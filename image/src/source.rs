//! A stream as it is stored, plain or compressed, read as what it holds, with
//! the digests of both sides.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::digest::Digest;

/// What is read at once: large enough to hide the calls, small enough for a cache.
const BUFFER_BYTES: usize = 256 << 10;
/// How much may come out before the ratio counts.
const RATIO_FREE_BYTES: u64 = 64 << 20;
/// How many bytes one stored byte may become.
const RATIO_MAX: u64 = 200;
/// Zstandard may look back this far, as a power of two.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Which digests are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of the bytes as they are stored.
    pub stored: bool,
    /// Of what they hold.
    pub content: bool,
}

/// How a stream is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Plain,
    /// One or several gzip members.
    Gzip,
    /// One or several Zstandard frames.
    Zstd,
}

impl Coding {
    /// Returns the coding that the first four bytes of a stream announce.
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// What was read, once a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The digest of the stored bytes, where it was wanted.
    pub stored: Option<Digest>,
    /// The digest of what they hold, where it was wanted.
    pub content: Option<Digest>,
}

/// A buffered stream of content that hashes what passes.
pub(crate) struct Source<R: Read> {
    decoder: Decoder<R>,
    coding: Coding,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    content: Option<Sha256>,
    content_bytes: u64,
}

enum Decoder<R: Read> {
    Plain(Counted<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Counted<R>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Counted<R>>>>),
}

/// The stored side: counts, and hashes if asked.
struct Counted<R> {
    inner: Chain<Cursor<Vec<u8>>, R>,
    hash: Option<Sha256>,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..count]);
        }
        Ok(count)
    }
}

impl<R: Read> Source<R> {
    /// Returns the content of `stream`, recognised by its first bytes.
    pub(crate) fn open(mut stream: R, wanted: Wanted) -> io::Result<Self> {
        let mut first = Vec::new();
        stream.by_ref().take(4).read_to_end(&mut first)?;
        let coding = Coding::of(&first);
        // Of a plain stream both sides are the same, and hashed once.
        let is_plain = coding == Coding::Plain;
        let counted = Counted {
            inner: Cursor::new(first).chain(stream),
            hash: (wanted.stored && !is_plain).then(Sha256::new),
            bytes: 0,
        };
        let buffered = |counted| BufReader::with_capacity(BUFFER_BYTES, counted);
        let decoder = match coding {
            Coding::Plain => Decoder::Plain(counted),
            Coding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(buffered(counted)))),
            Coding::Zstd => {
                let mut zstd = zstd::stream::read::Decoder::with_buffer(buffered(counted))?;
                zstd.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Decoder::Zstd(Box::new(zstd))
            }
        };
        Ok(Self::over(decoder, coding, wanted.content || wanted.stored && is_plain))
    }

    /// Returns `stream` as it is, to be hashed as content.
    pub(crate) fn plain(stream: R) -> Self {
        let inner = Cursor::new(Vec::new()).chain(stream);
        Self::over(Decoder::Plain(Counted { inner, hash: None, bytes: 0 }), Coding::Plain, true)
    }

    fn over(decoder: Decoder<R>, coding: Coding, hashes: bool) -> Self {
        Self {
            decoder,
            coding,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            content: hashes.then(Sha256::new),
            content_bytes: 0,
        }
    }

    /// Returns what was read and not taken yet.
    pub(crate) fn held(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Returns how the stream is stored.
    pub(crate) const fn coding(&self) -> Coding {
        self.coding
    }

    /// Reads what is left and returns the digests.
    pub(crate) fn finish(mut self) -> io::Result<Ended> {
        while !self.fill_buf()?.is_empty() {
            self.consume(usize::MAX);
        }
        let content = self.content.map(Digest::from);
        let stored = match self.decoder {
            Decoder::Plain(_) => content,
            Decoder::Gzip(gzip) => gzip.into_inner().into_inner().hash.map(Digest::from),
            Decoder::Zstd(zstd) => zstd.finish().into_inner().hash.map(Digest::from),
        };
        Ok(Ended { stored, content })
    }

    fn check_ratio(&self) -> io::Result<()> {
        let stored = match &self.decoder {
            Decoder::Plain(_) => return Ok(()),
            Decoder::Gzip(gzip) => gzip.get_ref().get_ref().bytes,
            Decoder::Zstd(zstd) => zstd.get_ref().get_ref().bytes,
        };
        if self.content_bytes > RATIO_FREE_BYTES && self.content_bytes / RATIO_MAX > stored {
            return Err(io::Error::other("it grows to more than 200 times its size"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let held = self.fill_buf()?;
        let count = held.len().min(out.len());
        out[..count].copy_from_slice(&held[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            // A read that fails, or is interrupted, leaves nothing that could be read twice.
            (self.start, self.end) = (0, 0);
            self.end = match &mut self.decoder {
                Decoder::Plain(plain) => plain.read(&mut self.buffer)?,
                Decoder::Gzip(gzip) => gzip.read(&mut self.buffer)?,
                Decoder::Zstd(zstd) => zstd.read(&mut self.buffer)?,
            };
            if let Some(hash) = &mut self.content {
                hash.update(&self.buffer[..self.end]);
            }
            self.content_bytes += self.end as u64;
            self.check_ratio()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }
}

impl<R: Read> std::fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("coding", &self.coding).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const BOTH: Wanted = Wanted { stored: true, content: true };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(stored: &[u8], content: &[u8]) {
        let mut source = Source::open(stored, BOTH).unwrap();
        let mut read = Vec::new();
        source.read_to_end(&mut read).unwrap();
        assert!(read == content, "the content differs");
        let ended = source.finish().unwrap();
        assert_eq!(ended.stored, Some(Digest::of(stored)));
        assert_eq!(ended.content, Some(Digest::of(content)));
    }

    #[test]
    fn all_codings_give_the_content_and_both_digests() {
        let content: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
        check(&content, &content);
        check(b"ab", b"ab");
        check(&gzip(&content), &content);
        check(&[gzip(b"one"), gzip(b"two")].concat(), b"onetwo");
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let skipped = [0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        check(&zstd(&content), &content);
        check(&[&zstd(b"one"), &skipped[..], &zstd(b"two")].concat(), b"onetwo");
    }

    #[test]
    fn what_is_cut_or_followed_by_other_bytes_is_an_error() {
        let whole = gzip(b"some text that goes on");
        for broken in [&whole[..whole.len() - 3], &[&whole[..], b"junk"].concat()] {
            Source::open(broken, BOTH).unwrap().finish().unwrap_err();
        }
        let mut flipped = whole;
        let middle = flipped.len() - 6;
        flipped[middle] ^= 1;
        Source::open(&flipped[..], BOTH).unwrap().finish().unwrap_err();
        let zstd = zstd::encode_all(&b"text"[..], 1).unwrap();
        Source::open(&zstd[..zstd.len() - 1], BOTH).unwrap().finish().unwrap_err();
    }

    #[test]
    fn a_bomb_stops_soon_after_the_free_part() {
        let bomb = gzip(&vec![0; 80 << 20]);
        let mut source = Source::open(&bomb[..], BOTH).unwrap();
        let error = io::copy(&mut source, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("200 times"), "{error}");
        assert!(source.content_bytes < RATIO_FREE_BYTES + (1 << 20));
    }
}
