//! What the guest's console says, carried to the supervisor.

use tokio::sync::mpsc;

use crate::hypervisor::Console;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Reads the console to its end: a guest whose console is not read stands still.
pub(super) async fn listen(console: Console, bytes: mpsc::Sender<Vec<u8>>) {
    let mut chunk = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = console.read(&mut chunk).await {
        if bytes.send(chunk[..count].to_vec()).await.is_err() {
            return;
        }
    }
}
