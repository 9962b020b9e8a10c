//! Random bytes from the kernel.

use std::io;

/// Returns `N` random bytes.
///
/// # Errors
/// The kernel's pool cannot be read.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the kernel writes at most `rest.len()` bytes into a slice that we borrow.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        filled += usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    }
    Ok(bytes)
}
