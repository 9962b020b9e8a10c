//! Codes of failures, each with its page.

use schema::exit::Kind;
use schema::sandboxfile::explain;
use schema::sandboxfile::problem::nearest;
use serde_json::{Value, json};

use crate::cli::call::Call;
use crate::cli::ending::Ending;
use crate::cli::failure::Failure;
use crate::report::human::Table;

/// Pages of codes that are not the language's: code, cause and remedy on a line each.
const PAGES: &str = include_str!("pages.txt");

/// One code and what there is to say about it.
#[derive(Debug, Clone, Copy)]
struct Page {
    code: &'static str,
    cause: &'static str,
    example: Option<&'static str>,
    remedy: &'static str,
}

/// Returns every page: those of the language, then ours.
fn pages() -> impl Iterator<Item = Page> {
    let of_the_language = explain::pages().map(|page| Page {
        code: page.code.as_str().strip_prefix("msb::").unwrap_or_default(),
        cause: page.cause,
        example: Some(page.example),
        remedy: page.remedy,
    });
    let ours = PAGES.split("\n\n").filter_map(|page| {
        let mut lines = page.lines();
        let (code, cause, remedy) = (lines.next()?, lines.next()?, lines.next()?);
        Some(Page { code, cause, example: None, remedy })
    });
    of_the_language.chain(ours)
}

impl Page {
    fn exit_code(self) -> u8 {
        Kind::of_code(self.code).code()
    }

    fn row(self) -> Value {
        json!({
            "code": format!("msb::{}", self.code), "exit_code": self.exit_code(),
            "cause": self.cause, "example": self.example, "remedy": self.remedy,
        })
    }
}

/// Prints the page of a code; tells whether there is one.
pub(super) fn tell(call: &Call, code: &str) -> bool {
    let Some(page) = pages().find(|page| page.code == code) else { return false };
    if !call.report.is_text() {
        call.report.document(&page.row());
        return true;
    }
    call.report.line(&format!("msb::{}  (exit {})", page.code, page.exit_code()));
    call.report.line(&format!("\n{}", page.cause));
    if let Some(example) = page.example {
        let lines: String = example.lines().map(|line| format!("    {line}\n")).collect();
        call.report.out(&format!("\nFor example:\n\n{lines}"));
    }
    call.report.line(&format!("\n{}", page.remedy));
    true
}

/// Returns the code that was probably meant.
pub(super) fn near(code: &str) -> Option<&'static str> {
    let family = || pages().find(|page| page.code.ends_with(&format!("::{code}")));
    nearest(code, pages().map(|page| page.code)).or_else(|| Some(family()?.code))
}

/// Prints every code.
pub(super) fn list_all(call: &Call) {
    list(call, pages());
}

/// Prints the codes that end with a number.
///
/// # Errors
/// None does.
pub(super) fn by_exit_code(call: &Call, number: u8) -> Ending {
    let of_number: Vec<Page> = pages().filter(|page| page.exit_code() == number).collect();
    if of_number.is_empty() {
        let message = format!("no code of a failure ends with {number}");
        return Err(Failure::new("usage::value", "usage", message)
            .kind(Kind::Failed)
            .hint("Read `msb help exit-codes`.")
            .into());
    }
    list(call, of_number.into_iter());
    Ok(0)
}

fn list(call: &Call, pages: impl Iterator<Item = Page>) {
    if !call.report.is_text() {
        call.report.document(&pages.map(Page::row).collect::<Vec<_>>());
        return;
    }
    let mut table = Table::new(&["CODE", "EXIT", "CAUSE"]);
    for page in pages {
        table.row(vec![page.code.into(), page.exit_code().to_string(), page.cause.into()]);
    }
    call.report.out(&table.text(call.report.width()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_has_two_pages() {
        let mut codes: Vec<&str> = pages().map(|page| page.code).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn each_page_of_ours_is_two_sentences() {
        let ours: Vec<Page> = pages().filter(|page| page.example.is_none()).collect();
        assert!(ours.len() > 40);
        for page in ours {
            assert!(page.cause.ends_with('.') && page.remedy.ends_with('.'), "{}", page.code);
        }
    }
}
