//! Who carries a request to the receiver, while samples are read meanwhile.

use prost::bytes::Bytes;
use tokio::sync::mpsc;

use super::transport::Transport;
use super::verdict::Verdict;

/// One request is on its way at a time.
const ON_THE_WAY_MAX: usize = 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Courier {
    requests: mpsc::Sender<Bytes>,
    verdicts: mpsc::Receiver<Verdict>,
}

impl Courier {
    /// Sets out; nobody is called yet.
    #[must_use]
    pub(super) fn start(mut transport: Transport) -> Self {
        let (requests, mut given) = mpsc::channel(ON_THE_WAY_MAX);
        let (told, verdicts) = mpsc::channel(ON_THE_WAY_MAX);
        tokio::spawn(async move {
            while let Some(request) = given.recv().await {
                if told.send(transport.send(request).await).await.is_err() {
                    return;
                }
            }
        });
        Self { requests, verdicts }
    }

    /// Gives a request; what came of the one before is known by then.
    pub(super) async fn send(&self, request: Bytes) {
        // It is there as long as this is.
        drop(self.requests.send(request).await);
    }

    /// Waits until it is known what came of a request.
    pub(super) async fn verdict(&mut self) -> Verdict {
        let verdict = self.verdicts.recv().await;
        verdict.unwrap_or_else(|| Verdict::again("whoever carries requests was lost"))
    }
}
