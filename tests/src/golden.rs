//! Text that people read, held as a whole in `tests/golden/NAME.txt`.
//!
//! `MSB_GOLDEN=write` writes what is true now; read the difference before it is committed.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::home::Home;
use crate::programs::checkout;

/// Holds `text` against the golden file `name`.
///
/// # Panics
/// When it differs.
pub fn check(name: &str, text: &str) {
    hold(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name).with_extension("txt"),
        text,
    );
}

/// Holds `text` against a page of the checkout that is made, not written.
///
/// # Panics
/// When it differs.
pub fn check_page(path: &str, text: &str) {
    hold(&checkout().join(path), text);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a golden file is written on request, and read as a diff"
)]
fn hold(path: &Path, text: &str) {
    if std::env::var_os("MSB_GOLDEN").is_some_and(|value| value == "write") {
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("the checkout can be written");
        fs::write(path, text).expect("the checkout can be written");
        return;
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    assert!(
        golden == text,
        "{} is not what is true now; MSB_GOLDEN=write takes it over\n--- golden\n{golden}--- now\n{text}---",
        path.display()
    );
}

/// Takes out of a text what differs between runs: paths, times, process numbers, ids, digests.
///
/// # Panics
/// Never: the expressions are constant.
pub fn steady(home: &Home, text: &str) -> String {
    let text = text
        .replace(home.project().to_str().expect("our own paths are text"), "PROJECT")
        .replace(home.path().to_str().expect("our own paths are text"), "HOME");
    let rules = [
        // How far what follows a path is moved away tells how long the path was.
        (r"(?m)^(.*PROJECT/\S.*?\S) {2,}(\S+)$", "$1  $2"),
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?", "DATE"),
        (r"\b\d\d:\d\d:\d\d\b", "CLOCK"),
        (r"\b\d+\.\d\ds\b|\b\d+s\b", "TIME"),
        (r"\bpid \d+\b", "pid N"),
        (r"sha256:[0-9a-f]+", "sha256:DIGEST"),
        (r"\b[0-9a-f]{16}\b", "ID"),
    ];
    rules.iter().fold(text, |text, (find, put)| {
        Regex::new(find).expect("a constant expression").replace_all(&text, *put).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_taken_out() {
        let home = Home::process();
        let project = home.project().display().to_string();
        let text = format!(
            "{project}/Sandboxfile:3 at 2026-11-22 10:02:11 took 0.31s, pid 4121, 4f2a9c017be3d85a"
        );
        assert_eq!(steady(&home, &text), "PROJECT/Sandboxfile:3 at DATE took TIME, pid N, ID");
        let columns = format!("  a  dir {project}/src at /src    Sandboxfile:3\n  b      c\n");
        assert_eq!(
            steady(&home, &columns),
            "  a  dir PROJECT/src at /src  Sandboxfile:3\n  b      c\n"
        );
    }
}
