//! A client of `agent.sock`: greeted, heard frame by frame, told when it is over.

use std::rc::Rc;
use std::sync::Arc;

use schema::wire::message::{Error, ErrorCode};
use schema::wire::relay::{CLIENTS_MAX, Welcome};
use schema::wire::{CONTROL_SESSION, Decoder, Message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore, watch};

use super::channel::{Hub, State};
use super::switch::Fault;

/// How many frames of one client wait for the agent.
const FRAMES_WAITING_MAX: usize = 2;

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Takes clients until the listener is dropped.
pub(crate) async fn accept(hub: Rc<Hub>, listener: UnixListener) {
    while let Some(stream) = crate::peer::accept(&listener).await {
        tokio::task::spawn_local(serve(Rc::clone(&hub), stream));
    }
}

/// Why a client is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// It went, or does not speak the protocol.
    Gone,
    /// It did what no client may.
    Fault(Fault),
    /// There is no agent any more.
    AgentLost,
}

async fn serve(hub: Rc<Hub>, stream: UnixStream) {
    let (reader, mut writer) = stream.into_split();
    let joined = hub.switch.borrow_mut().join();
    let Some((slot, welcome)) = joined else {
        let none = Welcome { first: 0, end: 0 };
        let text = format!("{CLIENTS_MAX} clients are connected, which is the most");
        // A client that cannot even be refused needs no answer.
        writer.write_all(&none.to_bytes()).await.ok();
        last_word(&mut writer, ErrorCode::TooManyClients, &text).await;
        return;
    };
    let wake = Rc::new(Notify::new());
    hub.wake_clients.borrow_mut().insert(slot, Rc::clone(&wake));
    let why = match greet(&hub, &mut writer, welcome).await {
        Err(why) => why,
        Ok(state) => tokio::select! {
            why = read(&hub, slot, reader) => why,
            why = write(&hub, slot, &wake, &mut writer) => why,
            why = lost(state) => why,
        },
    };
    match why {
        Leave::Gone => {}
        Leave::Fault(Fault::Range) => {
            let text = "this session is not of the range that was given";
            last_word(&mut writer, ErrorCode::BadSession, text).await;
        }
        Leave::Fault(Fault::ControlMessage) => {
            let text = "this message belongs to the runtime";
            last_word(&mut writer, ErrorCode::BadMessage, text).await;
        }
        Leave::AgentLost => {
            flush(&hub, slot, &mut writer).await;
            last_word(&mut writer, ErrorCode::AgentLost, "the agent's channel is gone").await;
        }
    }
    hub.wake_clients.borrow_mut().remove(&slot);
    hub.switch.borrow_mut().leave(slot);
    hub.note_use();
    hub.wake_agent.notify_one();
    hub.client_went.notify_one();
}

/// Sends the welcome, and the agent's `Ready` as soon as there is one.
async fn greet(
    hub: &Hub,
    writer: &mut OwnedWriteHalf,
    welcome: Welcome,
) -> Result<watch::Receiver<State>, Leave> {
    let gone = |_| Leave::Gone;
    writer.write_all(&welcome.to_bytes()).await.map_err(gone)?;
    let mut state = hub.state.subscribe();
    let ready = {
        let known = state.wait_for(|state| *state != State::Booting).await;
        match &*known.map_err(|_| Leave::AgentLost)? {
            State::Ready(ready) => Rc::clone(ready),
            State::Booting | State::Lost => return Err(Leave::AgentLost),
        }
    };
    writer.write_all(&ready).await.map_err(gone)?;
    Ok(state)
}

async fn read(hub: &Hub, slot: u32, mut reader: OwnedReadHalf) -> Leave {
    let room = Arc::new(Semaphore::new(FRAMES_WAITING_MAX));
    let (mut decoder, mut bytes) = (Decoder::default(), vec![0; READ_BYTES]);
    loop {
        let Ok(count @ 1..) = reader.read(&mut bytes).await else { return Leave::Gone };
        decoder.push(&bytes[..count]);
        loop {
            let frame = match decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return Leave::Gone,
            };
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Leave::Gone };
            hub.note_use();
            let taken = hub.switch.borrow_mut().hear_client(slot, frame, Some(permit));
            hub.end_logs();
            if let Err(fault) = taken {
                return Leave::Fault(fault);
            }
            hub.wake_agent.notify_one();
            hub.wake_client(slot);
        }
    }
}

async fn write(hub: &Hub, slot: u32, wake: &Notify, writer: &mut OwnedWriteHalf) -> Leave {
    loop {
        let next = hub.switch.borrow_mut().next_for_client(slot);
        let Some(frame) = next else {
            wake.notified().await;
            continue;
        };
        if writer.write_all(&frame.to_bytes()).await.is_err() {
            return Leave::Gone;
        }
    }
}

async fn lost(mut state: watch::Receiver<State>) -> Leave {
    // An error means that the hub is gone, and the agent with it.
    state.wait_for(|state| *state == State::Lost).await.map(drop).ok();
    Leave::AgentLost
}

/// Writes what still waits for the client.
async fn flush(hub: &Hub, slot: u32, writer: &mut OwnedWriteHalf) {
    loop {
        let next = hub.switch.borrow_mut().next_for_client(slot);
        let Some(frame) = next else { return };
        if writer.write_all(&frame.to_bytes()).await.is_err() {
            return;
        }
    }
}

async fn last_word(writer: &mut OwnedWriteHalf, code: ErrorCode, text: &str) {
    let frame = Message::Error(Error::new(code, text)).to_frame(CONTROL_SESSION);
    // The client is let go in any case.
    writer.write_all(&frame.to_bytes()).await.ok();
    writer.shutdown().await.ok();
}
