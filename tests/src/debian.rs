//! Images of Debian, made on the spot once per machine by `tests/fixtures/debian-image`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::programs::checkout;

/// Returns the folder that holds the image `what` as archives; none where packages cannot be had.
///
/// # Panics
/// When the script cannot be started, or does not say where the folder is.
pub fn image(what: &str) -> Option<PathBuf> {
    let script = checkout().join("tests/fixtures/debian-image");
    let mut making = Command::new(script);
    // Why it cannot be had is told where the test tells the rest.
    making.arg(what).stderr(Stdio::inherit());
    let output = making.output().expect("a script of the checkout");
    if !output.status.success() {
        return None;
    }
    let folder = String::from_utf8(output.stdout).expect("a path below the user's cache");
    Some(PathBuf::from(folder.trim_end()))
}
