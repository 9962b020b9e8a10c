//! Answers `control.sock`: who asks, what, and when it is true.
//!
//! Requests of one connection are answered as they become true, not in order.
//! What changes the machine goes to the supervisor; the rest is read from what
//! it shows.

use std::rc::Rc;

use schema::control::{
    Answer, CLIENTS_MAX, Call, FORMAT, Left, MESSAGE_BYTES_MAX, Milestone, NetworkFigures, Reply,
    Request, Update,
};
use schema::event::Event;
use schema::failure::Report;
use schema::figures;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use crate::figures::Told;
use crate::standing::{Reach, Shown};

/// How many answers of one connection wait to be written.
const ANSWERS_WAITING_MAX: usize = 64;

/// Something that only the supervisor can do; each is answered once.
#[derive(Debug)]
pub(crate) enum Ask {
    /// End the machine in good order; answered when it is written down.
    Stop { grace_ms: Option<u64>, reason: String, actor: String, done: oneshot::Sender<()> },
    /// End the machine at once; answered when it rests.
    Kill { actor: String, done: oneshot::Sender<()> },
    /// Change live values.
    Update { wanted: Update, done: oneshot::Sender<Updated> },
    /// How the network stands; absent where there is none.
    Network { done: oneshot::Sender<Option<NetworkFigures>> },
    /// What was used; answered when there is a sample that is young enough.
    Sample { max_age_ms: u64, done: oneshot::Sender<Told> },
    /// Give the workload a signal; answered when it is on its way.
    Signal { number: u8, done: oneshot::Sender<()> },
    /// Somebody is here.
    Touch { done: oneshot::Sender<()> },
    /// How it is at this moment.
    Now { done: oneshot::Sender<Now> },
    /// Forget the creator.
    Detach { done: oneshot::Sender<()> },
    /// Follow the events.
    Follow { after: Option<u64>, done: oneshot::Sender<Following> },
}

/// What became of live values.
#[derive(Debug, Default)]
pub(crate) struct Updated {
    pub(crate) applied: Vec<String>,
    pub(crate) refused: Vec<(String, String)>,
}

/// How a machine is at a moment; nothing of it is written down.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Now {
    /// Open sessions.
    pub(crate) sessions: u32,
    /// What is left of its timers.
    pub(crate) left: Left,
}

/// Kept events, and those to come.
type Following = (Vec<Event>, broadcast::Receiver<Event>);

/// Held while an answer is due; the runtime ends when nobody holds one.
pub(crate) type Due = mpsc::Sender<()>;

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) machine: String,
    pub(crate) nonce: String,
    pub(crate) shown: watch::Receiver<Shown>,
    pub(crate) asks: mpsc::Sender<Ask>,
    /// Given out while the runtime serves.
    pub(crate) due: mpsc::WeakSender<()>,
}

/// Takes clients until it is dropped.
pub(crate) async fn accept(desk: Rc<Desk>, listener: UnixListener) {
    let room = Rc::new(Semaphore::new(CLIENTS_MAX));
    while let Some(stream) = crate::peer::accept(&listener).await {
        let (desk, room) = (Rc::clone(&desk), Rc::clone(&room));
        tokio::task::spawn_local(async move {
            // One client too many sees end-of-file at once.
            if let Ok(_seat) = room.try_acquire() {
                serve(desk, stream).await;
            }
        });
    }
}

async fn serve(desk: Rc<Desk>, stream: UnixStream) {
    let (mut reader, writer) = stream.into_split();
    let (answers, waiting) = mpsc::channel(ANSWERS_WAITING_MAX);
    tokio::select! {
        () = read(&desk, &mut reader, answers) => {}
        () = write(writer, waiting) => {}
    }
}

/// Reads requests; each is answered by a task of its own.
async fn read(desk: &Rc<Desk>, reader: &mut (impl AsyncRead + Unpin), answers: Answers) {
    let mut greeted = false;
    while let Some(message) = next_message(reader).await {
        let Some(due) = desk.due.upgrade() else { return };
        let request = match serde_json::from_slice::<Request>(&message) {
            Ok(request) => request,
            Err(error) => {
                let answer = refused(id_of(&message), "unsupported", &error.to_string());
                answers.send((answer, due)).await.ok();
                continue;
            }
        };
        let is_hello = matches!(request.call, Call::Hello { .. });
        if !greeted && !is_hello {
            let answer = refused(request.id, "bad-request", "`hello` must come first");
            answers.send((answer, due)).await.ok();
            continue;
        }
        greeted = true;
        let (desk, answers) = (Rc::clone(desk), answers.clone());
        tokio::task::spawn_local(answer(desk, request, answers, due));
    }
}

type Answers = mpsc::Sender<(Answer, Due)>;

async fn answer(desk: Rc<Desk>, request: Request, answers: Answers, due: Due) {
    let id = request.id;
    let reply = match request.call {
        Call::Hello { .. } => Some(desk.hello()),
        Call::Status {} => Some(desk.status().await),
        Call::Wait { until } => tokio::select! {
            reply = desk.wait(until) => reply,
            // Nobody waits for the answer any more.
            () = answers.closed() => return,
        },
        Call::Stop { grace_ms, reason, actor } => {
            desk.ask(|done| Ask::Stop { grace_ms, reason, actor, done }).await.map(|()| Reply::Done)
        }
        Call::Kill { actor } => {
            desk.ask(|done| Ask::Kill { actor, done }).await.map(|()| Reply::Done)
        }
        Call::Update(wanted) => desk
            .ask(|done| Ask::Update { wanted, done })
            .await
            .map(|Updated { applied, refused }| Reply::Updated { applied, refused }),
        Call::Signal { number } => {
            desk.ask(|done| Ask::Signal { number, done }).await.map(|()| Reply::Done)
        }
        Call::Network {} => {
            let asked = desk.ask(|done| Ask::Network { done }).await;
            asked.map(|figures| Reply::Network { figures })
        }
        Call::Touch {} => desk.ask(|done| Ask::Touch { done }).await.map(|()| Reply::Done),
        Call::Sample { max_age_ms } => {
            match desk.ask(|done| Ask::Sample { max_age_ms, done }).await {
                Some(Told::Sample(sample)) => Some(Reply::Sample { sample }),
                Some(told) => {
                    answers.send((not_told(id, &told), due)).await.ok();
                    return;
                }
                None => None,
            }
        }
        Call::Detach {} => desk.ask(|done| Ask::Detach { done }).await.map(|()| Reply::Done),
        Call::Subscribe { after } => {
            let following = desk.ask(|done| Ask::Follow { after, done }).await;
            return subscribe(id, following, answers, due).await;
        }
    };
    let answer = match reply {
        Some(result) => Answer::Ok { id, result },
        None => refused(id, "ended", "the machine has ended"),
    };
    answers.send((answer, due)).await.ok();
}

impl Desk {
    fn hello(&self) -> Reply {
        Reply::Hello {
            machine: self.machine.clone(),
            nonce: self.nonce.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            format: FORMAT,
        }
    }

    async fn status(&self) -> Reply {
        // A machine that has ended has no moment; its record is all there is of it.
        let Now { sessions, left } = self.ask(|done| Ask::Now { done }).await.unwrap_or_default();
        let shown = self.shown.borrow();
        Reply::Status {
            record: Box::new(shown.record.clone()),
            sessions,
            last_probe: shown.last_probe.clone(),
            left,
        }
    }

    async fn wait(&self, until: Milestone) -> Option<Reply> {
        let mut shown = self.shown.clone();
        let seen = shown.wait_for(|shown| shown.reach(until) != Reach::NotYet).await.ok()?;
        if seen.reach(until) == Reach::Unreachable {
            return Some(Reply::Unreachable { record: Box::new(seen.record.clone()) });
        }
        drop(seen);
        Some(self.status().await)
    }

    /// Asks the supervisor; `None` where it has ended.
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (done, answer) = oneshot::channel();
        self.asks.send(ask(done)).await.ok()?;
        answer.await.ok()
    }
}

async fn subscribe(id: u64, following: Option<Following>, answers: Answers, due: Due) {
    let Some((kept, mut events)) = following else { return };
    let done = Answer::Ok { id, result: Reply::Done };
    if answers.send((done, due.clone())).await.is_err() {
        return;
    }
    for event in kept {
        if answers.send((Answer::Event { event }, due.clone())).await.is_err() {
            return;
        }
    }
    // One that falls too far behind learns of it by the gap in the numbers.
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = answers.closed() => return,
        };
        let event = match event {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        if answers.send((Answer::Event { event }, due.clone())).await.is_err() {
            return;
        }
    }
}

async fn next_message(reader: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = reader.read_u32().await.ok()? as usize;
    if length > MESSAGE_BYTES_MAX {
        return None;
    }
    let mut message = Vec::new();
    // Grows with what comes, not with what was claimed.
    let count = reader.take(length as u64).read_to_end(&mut message).await.ok()?;
    (count == length).then_some(message)
}

async fn write(mut writer: OwnedWriteHalf, mut waiting: mpsc::Receiver<(Answer, Due)>) {
    while let Some((answer, due)) = waiting.recv().await {
        let Ok(text) = serde_json::to_vec(&answer) else { continue };
        let Ok(length) = u32::try_from(text.len()) else { continue };
        let bytes = [&length.to_be_bytes()[..], &text].concat();
        if let Err(error) = writer.write_all(&bytes).await {
            // Who no longer listens needs no answer; everybody else is told why there was none.
            if error.kind() != std::io::ErrorKind::BrokenPipe {
                tracing::warn!(%error, "an answer was not sent");
            }
            return;
        }
        drop(due);
    }
}

/// Returns the id of a request that does not read as one.
fn id_of(message: &[u8]) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(message).unwrap_or_default();
    value.get("id").and_then(serde_json::Value::as_u64).unwrap_or(0)
}

/// Returns why there is no sample.
fn not_told(id: u64, told: &Told) -> Answer {
    if matches!(told, Told::Busy) {
        return refused(id, "busy", "too many ask for figures at once");
    }
    let message = "the sandbox is not measured: its `metrics` say `enabled #false`".to_owned();
    let (code, stage) = (figures::OFF.to_owned(), "state".to_owned());
    Answer::Error { id, error: Report { code, stage, message, ..Report::default() } }
}

fn refused(id: u64, code: &str, message: &str) -> Answer {
    let (code, stage) = (format!("msb::control::{code}"), "state".to_owned());
    let error = Report { code, stage, message: message.into(), ..Report::default() };
    Answer::Error { id, error }
}
