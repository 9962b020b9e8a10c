//! The word that was probably meant.

/// Returns the candidate nearest to `word`, if any is near; ties go by alphabet.
///
/// Near is a Damerau-Levenshtein distance of two, or of one for words of up to four letters.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = word.chars().take(WORD_LETTERS_MAX).collect();
    let most = if letters.len() <= 4 { 1 } else { 2 };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (distance(&letters, candidate, most), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Keys and names are shorter; what is longer is near to none of them.
const WORD_LETTERS_MAX: usize = 256;

/// Counts edits (insert, delete, replace, swap of neighbours), or returns a number above `most`.
fn distance(word: &[char], candidate: &str, most: usize) -> usize {
    let other: Vec<char> = candidate.chars().take(WORD_LETTERS_MAX).collect();
    if word.len().abs_diff(other.len()) > most {
        return most + 1;
    }
    let mut before_last = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in word.iter().enumerate() {
        let mut row = vec![i + 1; other.len() + 1];
        for (j, b) in other.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && word[i - 1] == *b {
                least = least.min(before_last[j - 1] + 1);
            }
            row[j + 1] = least;
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let keys = ["memory", "image", "env", "cpus", "command"];
        for (word, expected) in [
            ("memmory", Some("memory")),
            ("iamge", Some("image")),
            ("comand", Some("command")),
            ("evn", Some("env")),
            ("xyz", None),
            ("cp", None),
            ("memory", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest("ax", ["ac", "ab"]), Some("ab"));
    }
}
