//! What the guest's console says, carried to the supervisor.

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Reads the console to its end: a guest whose console is not read stands still.
pub(super) async fn listen(mut stream: UnixStream, bytes: mpsc::Sender<Vec<u8>>) {
    let mut chunk = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        if bytes.send(chunk[..count].to_vec()).await.is_err() {
            return;
        }
    }
}
