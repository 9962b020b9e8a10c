//! The name that a guest asks for when it begins to speak TLS (RFC 8446 section 4.1.2, RFC 6066 section 3).
//!
//! Nothing is kept and nothing is changed: the first bytes are looked at where they wait to be sent. What is
//! not TLS goes on unread, as the policy allows.

/// The longest greeting that is waited for.
pub(super) const HELLO_BYTES_MAX: usize = 64 << 10;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const NAME_BYTES_MAX: usize = 253;

/// What the first bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hello {
    /// The beginning of a greeting.
    Partial,
    /// Something else.
    Other,
    /// A greeting, and whom it asks for.
    Tls(Option<String>),
}

/// Looks at the first bytes of a connection.
pub(super) fn look(bytes: &[u8]) -> Hello {
    let mut handshake = Vec::new();
    let mut rest = bytes;
    loop {
        let Some((&[kind, major, _, high, low], after)) = rest.split_first_chunk() else {
            let begins = rest.first().is_none_or(|kind| *kind == HANDSHAKE);
            return if begins { Hello::Partial } else { Hello::Other };
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != 3 || length == 0 || length > (16 << 10) + 256 {
            return Hello::Other;
        }
        handshake.extend_from_slice(after.get(..length).unwrap_or(after));
        match greeting(&handshake) {
            Hello::Partial if after.len() > length => {
                rest = after.get(length..).unwrap_or_default();
            }
            Hello::Partial if handshake.len() > HELLO_BYTES_MAX => return Hello::Other,
            told => return told,
        }
    }
}

fn greeting(bytes: &[u8]) -> Hello {
    let Some((&[kind, high, middle, low], body)) = bytes.split_first_chunk() else {
        let begins = bytes.first().is_none_or(|kind| *kind == CLIENT_HELLO);
        return if begins { Hello::Partial } else { Hello::Other };
    };
    if kind != CLIENT_HELLO {
        return Hello::Other;
    }
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
    if length > HELLO_BYTES_MAX {
        return Hello::Other;
    }
    match body.get(..length) {
        None => Hello::Partial,
        Some(body) => extensions(body).map_or(Hello::Other, |list| Hello::Tls(server_name(list))),
    }
}

/// Returns the extensions of a greeting; empty where it has none.
fn extensions(body: &[u8]) -> Option<&[u8]> {
    // Version and random.
    let rest = body.get(34..)?;
    let (_session, rest) = prefixed8(rest)?;
    let (_ciphers, rest) = prefixed16(rest)?;
    let (_compressions, rest) = prefixed8(rest)?;
    if rest.is_empty() {
        return Some(rest);
    }
    prefixed16(rest).map(|(list, _)| list)
}

fn server_name(mut list: &[u8]) -> Option<String> {
    while let Some((&[high, low], rest)) = list.split_first_chunk() {
        let (content, after) = prefixed16(rest)?;
        if u16::from_be_bytes([high, low]) == SERVER_NAME {
            let (mut names, _) = prefixed16(content)?;
            while let Some((kind, rest)) = names.split_first() {
                let (name, after) = prefixed16(rest)?;
                if *kind == HOST_NAME {
                    return host(name);
                }
                names = after;
            }
            return None;
        }
        list = after;
    }
    None
}

/// Returns a name as rules compare it; `None` for what is no name.
fn host(bytes: &[u8]) -> Option<String> {
    let fits = !bytes.is_empty() && bytes.len() <= NAME_BYTES_MAX;
    let plain = bytes.iter().all(|byte| byte.is_ascii_graphic());
    let text = std::str::from_utf8(bytes).ok().filter(|_| fits && plain)?;
    Some(text.trim_end_matches('.').to_ascii_lowercase())
}

fn prefixed8(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn prefixed16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, low], rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The first bytes of somebody who speaks TLS and asks for `name`.
    pub(in super::super) fn greeting_for(name: &str) -> Vec<u8> {
        records(&hello(Some(name)), 10_000)
    }

    fn with_length(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    /// A greeting that asks for `name`.
    fn hello(name: Option<&str>) -> Vec<u8> {
        let other = [vec![0, 43], with_length(&[2, 3, 4])].concat();
        let asked = name.map(|name| {
            let entry = [vec![HOST_NAME], with_length(name.as_bytes())].concat();
            [vec![0, 0], with_length(&with_length(&entry))].concat()
        });
        let list = [other, asked.unwrap_or_default()].concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[32],
            &[1; 32],
            &with_length(&[0x13, 1, 0x13, 2]),
            &[1, 0],
            &with_length(&list),
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[CLIENT_HELLO], &length[1..], &body].concat()
    }

    fn records(handshake: &[u8], cut: usize) -> Vec<u8> {
        let record = |part: &[u8]| [vec![HANDSHAKE, 3, 1], with_length(part)].concat();
        handshake.chunks(cut).flat_map(record).collect()
    }

    #[test]
    fn the_name_is_found_however_the_greeting_is_cut() {
        let greeting = hello(Some("Api.Example."));
        let told = Hello::Tls(Some("api.example".into()));
        for cut in [1, 7, 100, 10_000] {
            let bytes = records(&greeting, cut);
            assert_eq!(look(&bytes), told, "{cut}");
            for length in 0..bytes.len() {
                assert_eq!(look(&bytes[..length]), Hello::Partial, "{cut}: {length}");
            }
        }
    }

    #[test]
    fn a_greeting_without_a_name_has_none_and_nonsense_is_no_greeting() {
        assert_eq!(look(&records(&hello(None), 10_000)), Hello::Tls(None));
        assert_eq!(look(&records(&hello(Some("a b")), 10_000)), Hello::Tls(None));
        for other in
            [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", &[22, 2, 0, 0, 5, 1], &[22, 3, 1, 0, 1, 2]]
        {
            assert_eq!(look(other), Hello::Other, "{other:?}");
        }
        let endless = records(&[&[CLIENT_HELLO, 0xff, 0xff, 0xff][..], &[0; 5000]].concat(), 1000);
        assert_eq!(look(&endless), Hello::Other);
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let mut seed = 1_u64;
        for round in 0..20_000_usize {
            let mut bytes = records(&hello(Some("a.example")), 1 + round % 90);
            for _ in 0..=round % 5 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(seed >> 33).unwrap() % bytes.len();
                bytes[at] = seed.to_be_bytes()[4];
            }
            look(&bytes);
        }
    }
}
