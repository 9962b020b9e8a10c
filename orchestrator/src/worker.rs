//! Blocking work beside the event loop, on a thread of its own.
//!
//! A host that has no thread to give is told; the pool of the event loop would panic.

use std::io;
use std::thread;

use thiserror::Error;
use tokio::sync::oneshot;

/// Why work was not done.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The host gives no thread.
    #[error("cannot start a worker thread")]
    Thread(#[source] io::Error),
    /// The work panicked.
    #[error("a worker was lost")]
    Lost,
}

/// Does `work` on a thread of its own and returns what came of it.
///
/// Work that nobody waits for any more goes on, and ends with the process at the latest.
///
/// # Errors
/// The host gives no thread, or the work panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WorkerError> {
    let (done, told) = oneshot::channel();
    // Whoever asked may be gone when it is done.
    let work = move || drop(done.send(work()));
    thread::Builder::new().name("work".to_owned()).spawn(work).map_err(WorkerError::Thread)?;
    told.await.map_err(|_| WorkerError::Lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_comes_back_and_a_lost_worker_is_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(blocking(|| 7)).unwrap(), 7);
        let lost = runtime.block_on(blocking(|| -> u8 { std::panic::resume_unwind(Box::new(())) }));
        assert!(matches!(lost, Err(WorkerError::Lost)));
    }
}
