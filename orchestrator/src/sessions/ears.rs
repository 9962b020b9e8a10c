//! Whether somebody hears the signals that are caught.
//!
//! Who waits for a reader that does not read hears nothing. A signal that comes while the one
//! before was not heard ends the process as if nobody had caught it, and where nobody listens any
//! more, the first one does.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::flag;

use super::signals::ENDING;

static IS_UNHEARD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Looks after the signals that end a command, from the first call on; what came before is heard.
///
/// # Errors
/// A signal cannot be caught.
pub fn open() -> io::Result<()> {
    if IS_UNHEARD.get().is_none() {
        let is_unheard = Arc::new(AtomicBool::new(false));
        for signal in ENDING {
            // In this order: it is the one before that counts.
            flag::register_conditional_default(signal, Arc::clone(&is_unheard))?;
            flag::register(signal, Arc::clone(&is_unheard))?;
        }
        // Nothing else sets it: signals are caught on one thread.
        drop(IS_UNHEARD.set(is_unheard));
    }
    heard();
    Ok(())
}

/// Says that what came was heard.
pub fn heard() {
    set(false);
}

/// Says that nobody listens any more, until the ears are opened again.
pub fn close() {
    set(true);
}

fn set(is_unheard: bool) {
    if let Some(flag) = IS_UNHEARD.get() {
        flag.store(is_unheard, Ordering::SeqCst);
    }
}
