//! Shared folders: the guest's kernel on one side, the console port on the other.
//!
//! ```text
//! /dev/fuse ── calls ──▶ msb.files        msb.files ── answers ──▶ /dev/fuse
//! ```
//!
//! One thread for each way, which do nothing but move whole messages: files go on moving while the
//! agent does something else, and the agent goes on while a file is waited for.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use schema::wire::share::{MESSAGE_BYTES_MAX, answer_bytes, user_call};

use crate::log;
use crate::sys;

/// What one read of the port may bring beyond the end of a message.
const BEYOND_BYTES: usize = 64 << 10;

/// The file system of all shares, and the way to who serves them.
#[derive(Debug)]
pub(crate) struct Shares {
    root: OwnedFd,
    port: Arc<Port>,
}

#[derive(Debug)]
struct Port {
    fd: OwnedFd,
    /// Held for a whole message.
    turn: Mutex<()>,
}

impl Shares {
    /// Moves messages from now on; `root` is the mounted file system.
    pub(crate) fn start(port: OwnedFd, device: OwnedFd, root: OwnedFd) -> io::Result<Self> {
        let port = Arc::new(Port { fd: port, turn: Mutex::default() });
        let (calls, answers) = (device.try_clone()?, device);
        let (to, from) = (Arc::clone(&port), Arc::clone(&port));
        let end = root.try_clone()?;
        begin("calls", move || move_calls(&calls, &to))?;
        begin("answers", move || {
            let why = move_answers(&from, &answers);
            log::error!("the shared folders are lost: {why}");
            // Whoever waits for an answer gets an error in place of it.
            drop(sys::mount::abort(&end));
        })?;
        Ok(Self { root, port })
    }

    /// Tells who serves the folders whose they are.
    pub(crate) fn say_user(&self, uid: u32, gid: u32) -> io::Result<()> {
        self.port.say(&user_call(uid, gid))
    }

    /// Returns the path of a share, by its place.
    pub(crate) fn path(&self, index: u32, is_file: bool) -> PathBuf {
        let share = sys::mount::path_of(&self.root).join(index.to_string());
        if is_file { share.join("f") } else { share }
    }
}

impl Port {
    fn say(&self, mut bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        while !bytes.is_empty() {
            match sys::io::write(self.fd.as_fd(), bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn begin(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(format!("shares-{name}")).spawn(work).map(drop)
}

fn move_calls(device: &OwnedFd, port: &Port) {
    let mut call = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let moved = match sys::io::read(device.as_fd(), &mut call) {
            Ok(count) => port.say(call.get(..count).unwrap_or_default()),
            // A call that was given up before it was read.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = moved {
            log::note!("no more calls for shared folders: {error}");
            return;
        }
    }
}

/// Returns why no more answers come.
fn move_answers(port: &Port, device: &OwnedFd) -> io::Error {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX + BEYOND_BYTES];
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        match sys::io::read(port.fd.as_fd(), room) {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error,
        }
        let mut taken = 0;
        loop {
            let waiting = buffer.get(taken..filled).unwrap_or_default();
            let answer = match answer_bytes(waiting) {
                Ok(Some(len)) => waiting.get(..len),
                Ok(None) => None,
                Err(error) => return io::Error::other(error),
            };
            let Some(answer) = answer else { break };
            match sys::io::write(device.as_fd(), answer) {
                // Whoever asked may have given up.
                Err(error) if !is_passing(&error) => return error,
                _ => taken += answer.len(),
            }
        }
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

/// Tells whether only one call was meant, and the next may go well.
fn is_passing(error: &io::Error) -> bool {
    sys::io::is_gone_or_interrupted(error)
}
