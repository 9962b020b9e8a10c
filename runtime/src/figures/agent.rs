//! The agent, asked what its guest uses.

use std::rc::Rc;
use std::time::Duration;

use schema::wire::CONTROL_SESSION;
use schema::wire::message::{Stats, StatsReply};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::relay::Hub;

/// How long a sample waits for the agent.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// See the module. A question that is not answered is not put again until it is: a guest that is
/// silent finds one when it speaks again, not a thousand.
#[derive(Debug)]
pub(super) struct Agent {
    hub: Rc<Hub>,
    said: mpsc::Receiver<Option<StatsReply>>,
    is_owed: bool,
    /// It told that it is of a generation that does not know.
    is_unable: bool,
}

impl Agent {
    pub(super) const fn new(hub: Rc<Hub>, said: mpsc::Receiver<Option<StatsReply>>) -> Self {
        Self { hub, said, is_owed: false, is_unable: false }
    }

    /// Returns what the guest uses; `None` where the agent is silent or does not know.
    pub(super) async fn ask(&mut self) -> Option<StatsReply> {
        if self.is_unable {
            return None;
        }
        // What came after its time answers a question that nobody waits for any more.
        while self.said.try_recv().is_ok() {
            self.is_owed = false;
        }
        if !self.is_owed {
            self.hub.say(CONTROL_SESSION, Stats {});
            self.is_owed = true;
        }
        let said = timeout(ANSWER_MAX, self.said.recv()).await.ok()??;
        self.is_owed = false;
        self.is_unable = said.is_none();
        said
    }
}
