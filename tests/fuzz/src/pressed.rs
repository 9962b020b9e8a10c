//! What a fuzzer cannot guess of an archive: the checksums of headers, and streams around it that decode.

/// A header, and the unit in which data is padded.
const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const SIZE: std::ops::Range<usize> = 124..136;

/// Returns an archive whose headers have the checksums that they should have.
pub(crate) fn mended(archive: &[u8]) -> Vec<u8> {
    let mut bytes = archive.to_vec();
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + BLOCK) {
        at += BLOCK;
        if header.iter().all(|byte| *byte == 0) {
            continue;
        }
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[SIZE].iter().copied().filter(|byte| (b'0'..=b'7').contains(byte));
        let size = digits.fold(0_usize, |size, digit| size << 3 | usize::from(digit - b'0'));
        at = at.saturating_add(size.next_multiple_of(BLOCK));
    }
    bytes
}

/// Returns an archive filled up to whole blocks, and its end.
pub(crate) fn ended(mut archive: Vec<u8>) -> Vec<u8> {
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

/// Returns a gzip stream of what is shorter than 64 KiB, stored and not made smaller.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let count = u16::try_from(bytes.len()).expect("shorter than 64 KiB").to_le_bytes();
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    stream.extend(count);
    stream.extend(count.map(|byte| !byte));
    stream.extend(bytes);
    stream.extend(crc32(bytes).to_le_bytes());
    stream.extend(count);
    stream.extend([0; 2]);
    stream
}

/// Returns a Zstandard frame of what is shorter than 64 KiB, stored and not made smaller.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let count = u16::try_from(bytes.len()).expect("shorter than 64 KiB");
    // One segment, whose size stands in four bytes; one block, the last, as it is.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(u32::from(count).to_le_bytes());
    frame.extend(&(u32::from(count) << 3 | 1).to_le_bytes()[..3]);
    frame.extend(bytes);
    frame
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}
