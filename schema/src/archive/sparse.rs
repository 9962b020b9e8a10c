//! Where the bytes of a sparse file belong, in the four ways GNU writes it.

use super::Segment;
use super::header::number;
use super::pax::decimal;

/// The most pieces a sparse file may have.
pub(crate) const SEGMENTS_MAX: usize = 1 << 20;

/// Returns the pieces of an old GNU header or extension: pairs of offset and
/// length in octal, up to the first empty one.
pub(crate) fn old_gnu(pairs: &[u8], segments: &mut Vec<Segment>) -> Result<(), &'static str> {
    for pair in pairs.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let segment = Segment { offset: number(&pair[..12])?, bytes: number(&pair[12..])? };
        push(segments, segment)?;
    }
    Ok(())
}

/// Returns the pieces of a list of offsets and lengths.
pub(crate) fn pairs(numbers: &[u64]) -> Result<Vec<Segment>, &'static str> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("a sparse map ends in the middle of a pair");
    }
    let mut segments = Vec::new();
    for [offset, bytes] in pairs {
        push(&mut segments, Segment { offset: *offset, bytes: *bytes })?;
    }
    Ok(segments)
}

/// Reads the map that GNU 1.0 puts before the data, from lines of decimals.
#[derive(Debug, Default)]
pub(crate) struct MapLines {
    numbers: Vec<u64>,
    partial: Vec<u8>,
}

impl MapLines {
    /// Takes one more block of the map and says whether the map is complete.
    pub(crate) fn take(&mut self, block: &[u8]) -> Result<bool, &'static str> {
        for byte in block {
            if *byte != b'\n' {
                self.partial.push(*byte);
                if self.partial.len() > 20 {
                    return Err("a sparse map is malformed");
                }
                continue;
            }
            self.numbers.push(decimal(&std::mem::take(&mut self.partial))?);
            if let Some((count, rest)) = self.numbers.split_first() {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                if count > SEGMENTS_MAX {
                    return Err("a sparse map has too many pieces");
                }
                if rest.len() == count * 2 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Returns the pieces of a complete map.
    pub(crate) fn segments(&self) -> Result<Vec<Segment>, &'static str> {
        pairs(self.numbers.get(1..).unwrap_or_default())
    }
}

/// Checks that the pieces fill `stored` bytes and fit a file of `size`.
pub(crate) fn check(segments: &[Segment], stored: u64, size: u64) -> Result<(), &'static str> {
    let sum: u64 = segments.iter().map(|s| s.bytes).sum();
    let end = segments.last().map_or(0, |s| s.offset + s.bytes);
    if sum != stored {
        return Err("a sparse map does not agree with the stored size");
    }
    if end > size {
        return Err("a sparse map reaches beyond the file");
    }
    Ok(())
}

fn push(segments: &mut Vec<Segment>, segment: Segment) -> Result<(), &'static str> {
    let before = segments.last().map_or(0, |s| s.offset + s.bytes);
    if segments.len() >= SEGMENTS_MAX {
        return Err("a sparse map has too many pieces");
    }
    if segment.offset < before || segment.offset.checked_add(segment.bytes).is_none() {
        return Err("a sparse map goes backwards");
    }
    segments.push(segment);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_must_go_forward_and_fit() {
        let map = pairs(&[0, 10, 100, 5]).unwrap();
        assert_eq!(check(&map, 15, 105), Ok(()));
        check(&map, 14, 105).unwrap_err();
        check(&map, 15, 104).unwrap_err();
        pairs(&[100, 5, 0, 10]).unwrap_err();
        pairs(&[0, u64::MAX, 1, 1]).unwrap_err();
        pairs(&[1]).unwrap_err();
    }

    #[test]
    fn a_map_of_lines_may_be_cut_anywhere() {
        let mut lines = MapLines::default();
        assert_eq!(lines.take(b"2\n0\n5"), Ok(false));
        assert_eq!(lines.take(b"12\n4096\n1\n"), Ok(true));
        let expected = vec![Segment { offset: 0, bytes: 512 }, Segment { offset: 4096, bytes: 1 }];
        assert_eq!(lines.segments(), Ok(expected));
    }
}
