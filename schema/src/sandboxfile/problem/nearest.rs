//! The word that was probably meant.

/// Returns the candidate nearest to `word`, if any is near; ties go by alphabet.
///
/// Near is a Damerau-Levenshtein distance of two, or of one for words of up to four letters.
/// What cannot be printed as it stands is no word to write.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = word.chars().take(WORD_LETTERS_MAX).collect();
    let most = if letters.len() <= 4 { 1 } else { 2 };
    let mut ruler = Ruler::default();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .filter_map(|candidate| Some((ruler.distance(&letters, candidate, most)?, candidate)))
        .filter(|(_, candidate)| !candidate.contains(super::steers))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Keys and names are shorter; what is longer is near to none of them.
const WORD_LETTERS_MAX: usize = 256;

/// Measures many words with one set of rows.
#[derive(Default)]
struct Ruler {
    other: Vec<char>,
    before_last: Vec<usize>,
    last: Vec<usize>,
    row: Vec<usize>,
}

impl Ruler {
    /// Counts edits (insert, delete, replace, swap of neighbours); `None` where there are more
    /// than `most`.
    fn distance(&mut self, word: &[char], candidate: &str, most: usize) -> Option<usize> {
        self.other.clear();
        self.other.extend(candidate.chars().take(WORD_LETTERS_MAX));
        if word.len().abs_diff(self.other.len()) > most {
            return None;
        }
        // What both begin and end with costs nothing.
        let same = word.iter().zip(&self.other).take_while(|(a, b)| a == b).count();
        let word = &word[same..];
        self.other.drain(..same);
        let ends = word.iter().rev().zip(self.other.iter().rev());
        let same = ends.take_while(|(a, b)| a == b).count();
        let word = &word[..word.len() - same];
        self.other.truncate(self.other.len() - same);
        let width = self.other.len() + 1;
        for row in [&mut self.before_last, &mut self.last, &mut self.row] {
            row.clear();
            row.extend(0..width);
        }
        for (i, a) in word.iter().enumerate() {
            self.row[0] = i + 1;
            for (j, b) in self.other.iter().enumerate() {
                let replaced = self.last[j] + usize::from(a != b);
                let mut least = replaced.min(self.last[j + 1] + 1).min(self.row[j] + 1);
                if i > 0 && j > 0 && *a == self.other[j - 1] && word[i - 1] == *b {
                    least = least.min(self.before_last[j - 1] + 1);
                }
                self.row[j + 1] = least;
            }
            // A swap looks back over one row, so two must be beyond hope.
            let hopeless = |row: &[usize]| row.iter().all(|edits| *edits > most);
            if hopeless(&self.row) && hopeless(&self.last) {
                return None;
            }
            std::mem::swap(&mut self.before_last, &mut self.last);
            std::mem::swap(&mut self.last, &mut self.row);
        }
        Some(self.last[width - 1]).filter(|edits| *edits <= most)
    }
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
        assert_eq!(nearest("service-12", ["service-2", "sevrice-12"]), Some("service-2"));
        assert_eq!(nearest("", ["a", "ab"]), Some("a"));
        assert_eq!(nearest("base", ["\tbase", "bases\u{202e}"]), None);
        assert_eq!(nearest(&"x".repeat(300), [&*"x".repeat(299)]).map(str::len), Some(299));
    }
}
