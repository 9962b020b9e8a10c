//! Which symbolic links stay inside the tree that they are part of.

/// Tells whether a link with this text leads nowhere but into its own tree, however it is reached.
///
/// `depth` is how many folders of the tree the link stands in; `None` is a link
/// that is the tree. Only at its start may the text climb: the folders above
/// the link are folders, while a name further on may be a link itself, and
/// what lies above that is not known. So each link stays inside if all do.
pub(crate) fn stays_inside(text: &[u8], depth: Option<usize>) -> bool {
    let Some(mut above) = depth.filter(|_| !text.starts_with(b"/")) else {
        return false;
    };
    let mut may_climb = true;
    for part in text.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if may_climb && above > 0 => above -= 1,
            b".." => return false,
            _ => may_climb = false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_climb_as_far_as_its_tree_reaches() {
        for (text, depth) in
            [(&b"a"[..], 0), (b"./a//b", 0), (b"../a", 1), (b"..", 1), (b"../../x/y", 2), (b".", 0)]
        {
            assert!(stays_inside(text, Some(depth)), "{} at {depth}", text.escape_ascii());
        }
    }

    #[test]
    fn a_link_that_leads_out_is_told_from_one_that_does_not() {
        for (text, depth) in [
            (&b"/etc/passwd"[..], 5),
            (b"..", 0),
            (b"../..", 1),
            (b"./../a", 0),
            // What `a` is nobody knows yet: a link upwards, perhaps.
            (b"a/..", 3),
            (b"a/../..", 3),
        ] {
            assert!(!stays_inside(text, Some(depth)), "{} at {depth}", text.escape_ascii());
        }
        assert!(!stays_inside(b"beside", None), "a link that is all that is copied");
    }
}
