//! Where the programs under test lie.
//!
//! The suite's binary is `TARGET/PROFILE/deps/it-…`, so `msb` is two folders up. The programs find
//! each other beside the resolved path of `msb`; they are put together in `TARGET/PROFILE/suite`,
//! the agent as the static file that a guest needs.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};

/// Says what to run when something is missing.
const REMEDY: &str = "run ./test, or: cargo build --workspace --bins";

/// Returns the folder that holds `msb`, `msb-runtime`, `msb-metrics`, `agentd` and `base.oci.tar`.
///
/// # Panics
/// When something was not built; the message says how to build it.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(assemble)
}

/// Returns cargo's target folder.
pub fn target() -> PathBuf {
    let profile = profile();
    profile.parent().expect("a profile's folder lies in the target folder").to_path_buf()
}

/// Returns the folder of the guest kernel, named by its key.
///
/// # Panics
/// When there is none.
pub fn kernel() -> PathBuf {
    let link = target().join("kernel");
    fs::canonicalize(&link).unwrap_or_else(|error| {
        panic!("no guest kernel at {}: {error}; run ./test", link.display())
    })
}

/// Returns the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is a folder of the checkout")
        .to_path_buf()
}

fn profile() -> PathBuf {
    let suite = std::env::current_exe().expect("a test binary has a path");
    let deps = suite.parent().expect("a test binary lies in a folder");
    deps.parent().expect("deps lies in a profile's folder").to_path_buf()
}

fn assemble() -> PathBuf {
    let profile = profile();
    let folder = profile.join("suite");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let lock = File::create(folder.join("lock")).expect("the suite's folder can be written");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock of our own");
    for program in ["msb", "msb-runtime", "msb-metrics"] {
        place(&profile.join(program), &folder.join(program));
    }
    let agent = target().join("agentd/x86_64-unknown-linux-gnu/release/agentd");
    place(&agent, &folder.join("agentd"));
    place(&target().join("base/base.oci.tar"), &folder.join("base.oci.tar"));
    folder
}

/// Links `from` to `to`, unless it is there as it is now.
fn place(from: &Path, to: &Path) {
    let wanted = fs::metadata(from)
        .unwrap_or_else(|error| panic!("{} was not built ({error}); {REMEDY}", from.display()));
    if fs::metadata(to).is_ok_and(|have| have.ino() == wanted.ino() && have.dev() == wanted.dev()) {
        return;
    }
    let beside = to.with_extension("new");
    match fs::remove_file(&beside) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => panic!("cannot clear {}: {error}", beside.display()),
    }
    if fs::hard_link(from, &beside).is_err() {
        fs::copy(from, &beside).expect("the suite's folder can be written");
    }
    fs::rename(&beside, to).expect("both lie in one folder");
}
