//! Who may talk to this process: the same user, and root.

use tokio::net::{UnixListener, UnixStream};

/// Returns the next peer that may talk to this process; `None` when no more can come.
pub(crate) async fn accept(listener: &UnixListener) -> Option<UnixStream> {
    let own = rustix::process::getuid().as_raw();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(peer) if peer.uid() == own || peer.uid() == 0 => return Some(stream),
                Ok(peer) => tracing::warn!(uid = peer.uid(), "a foreign user was turned away"),
                Err(error) => tracing::warn!(%error, "a peer without a user was turned away"),
            },
            // Out of descriptors, or the peer went away: the next one may do better.
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}
