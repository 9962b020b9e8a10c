//! What each code means: cause, example and remedy, as `msb explain CODE` prints them.

mod files;
mod language;
mod rules;

use super::problem::Code;

/// The page of one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The code.
    pub code: Code,
    /// Why it is raised.
    pub cause: &'static str,
    /// What raises it.
    pub example: &'static str,
    /// What to write or do instead.
    pub remedy: &'static str,
}

const fn page(
    code: Code,
    cause: &'static str,
    example: &'static str,
    remedy: &'static str,
) -> Page {
    Page { code, cause, example, remedy }
}

/// Returns the pages of all codes, by topic.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    [files::PAGES, language::PAGES, rules::PAGES].into_iter().flatten()
}

/// Returns the page of a code; the prefix `msb::` may be left out.
#[must_use]
pub fn explain(code: &str) -> Option<&'static Page> {
    let code = code.strip_prefix("msb::").unwrap_or(code);
    pages().find(|page| page.code.as_str().strip_prefix("msb::") == Some(code))
}

impl Page {
    /// Returns the page as text.
    #[must_use]
    pub fn text(&self) -> String {
        let indented: String = self.example.lines().map(|line| format!("    {line}\n")).collect();
        format!("{}\n\n{}\n\nFor example:\n\n{indented}\n{}\n", self.code, self.cause, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_d7_every_code_has_one_page() {
        let missing: Vec<&Code> =
            Code::ALL.iter().filter(|code| explain(code.as_str()).is_none()).collect();
        assert!(missing.is_empty(), "no page for {missing:?}");
        assert_eq!(pages().count(), Code::ALL.len());
    }

    #[test]
    fn a_page_reads_as_cause_example_and_remedy() {
        let text = explain("ref::cycle").unwrap().text();
        assert!(text.starts_with("msb::ref::cycle\n\n"), "{text}");
        assert!(text.contains("\n\nFor example:\n\n    "), "{text}");
    }
}
