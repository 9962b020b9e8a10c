//! Text in which bytes stand as `%XX`.

/// Returns the text that is meant; what is no `%XX` stays as it is.
#[must_use]
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = (*first == b'%').then(|| more.get(..2)).flatten();
        let code = code.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_stand_as_numbers_are_read() {
        for (text, want) in [
            ("no tenant %C3%BC 5%", "no tenant ü 5%"),
            ("Bearer%20a%2Cb", "Bearer a,b"),
            ("%+1%zz%", "%+1%zz%"),
            ("%ff", "\u{fffd}"),
            ("", ""),
        ] {
            assert_eq!(decode(text), want, "{text}");
        }
    }
}
