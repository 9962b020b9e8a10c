//! An image that nobody here packed alike: one layer is plain, one is gzip, one is Zstandard.

use std::path::PathBuf;
use std::process::Command;

use crate::home::Home;
use crate::programs::checkout;

/// Returns an archive of an OCI layout with that image; its layers stand in this order.
///
/// # Panics
/// When it cannot be made.
pub fn codings(home: &Home) -> PathBuf {
    let make = checkout().join("tests/fixtures/images/make");
    let made = Command::new(make).arg(home.scratch("")).arg("codings").output();
    let made = made.expect("a script of the checkout");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    home.scratch("codings.tar")
}
