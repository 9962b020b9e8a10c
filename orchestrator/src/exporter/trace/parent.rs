//! The span that a command runs within, as `TRACEPARENT` says it.

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span within it.
    pub span: [u8; 8],
    /// Whether anybody keeps it.
    pub is_kept: bool,
}

impl Parent {
    /// Reads `00-TRACE-SPAN-FLAGS`; `None` where that is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let version: [u8; 1] = hex(parts.next()?)?;
        let (trace, span) = (hex(parts.next()?)?, hex(parts.next()?)?);
        let [flags] = hex(parts.next()?)?;
        // Later versions may say more, the first one does not.
        let is_whole = version != [0] || parts.next().is_none();
        let is_one = version != [0xff] && trace != [0; 16] && span != [0; 8];
        (is_whole && is_one).then_some(Self { trace, span, is_kept: flags & 1 == 1 })
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != 2 * N || !is_lower {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip(0..) {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_11_9_a_parent_is_read_as_it_is_written() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent::parse(good).unwrap();
        assert_eq!((parent.trace[0], parent.span[7], parent.is_kept), (0x0a, 0x31, true));
        assert!(!Parent::parse(&good.replace("-01", "-00")).unwrap().is_kept);
        assert!(Parent::parse(&good.replace("00-0a", "01-0a").replace("-01", "-01-x")).is_some());
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(Parent::parse(wrong), None, "{wrong}");
        }
    }
}
