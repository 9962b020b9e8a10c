//! The one thread that drives all connections, so that many may wait on them.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// See the module. It must not be used from a task of another runtime.
#[derive(Debug)]
pub(super) struct Engine {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let drive = move || drop(runtime.block_on(stopped));
        let thread = std::thread::Builder::new().name("registry".to_owned()).spawn(drive)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Waits, on the thread of the caller, for what the other drives.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
