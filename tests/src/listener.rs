//! Servers of a few lines on real sockets: one that answers as a test says, and one that passes
//! bytes on and cuts.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Answers plain HTTP, one request a connection, and keeps what it was asked.
#[derive(Debug)]
pub struct Listener {
    /// Host and port.
    pub address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    /// Starts one; `answer` gets the head of a request and returns a whole answer.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heads);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let head = head(&mut stream);
                let answer = if head.starts_with('\u{16}') {
                    "HTTP/1.0 400 Bad Request\r\n\r\n".to_owned()
                } else {
                    let answer = answer(&head);
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                    answer
                };
                drop(stream.write_all(answer.as_bytes()));
                drop(stream.shutdown(Shutdown::Both));
            }
        });
        Self { address, heads }
    }

    /// Returns the heads of the requests so far, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns an answer with these lines of a head and this body.
pub fn answer(status: &str, lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// Reads the head of a request; what is no text is the first byte alone.
fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        bytes.push(byte[0]);
        if bytes[0] == 0x16 {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).to_ascii_lowercase()
}

/// Passes connections on to a server, and cuts some of them in the middle of an answer.
#[derive(Debug)]
pub struct Cutter {
    /// Host and port.
    pub address: String,
    /// How many were cut.
    pub cut: Arc<AtomicU32>,
    /// The bytes that went to who called.
    pub passed: Arc<AtomicU64>,
}

impl Cutter {
    /// Starts one that cuts an answer after `after` bytes, `times` times.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(server: String, after: u64, times: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (cut, passed): (Arc<AtomicU32>, Arc<AtomicU64>) = Default::default();
        let counts = (Arc::clone(&cut), Arc::clone(&passed));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(caller) = stream else { return };
                let (server, counts) = (server.clone(), counts.clone());
                thread::spawn(move || pass(&caller, &server, (after, times), &counts));
            }
        });
        Self { address, cut, passed }
    }
}

fn pass(
    mut caller: &TcpStream,
    server: &str,
    (after, times): (u64, u32),
    counts: &(Arc<AtomicU32>, Arc<AtomicU64>),
) {
    let Ok(server) = TcpStream::connect(server) else { return };
    let (Ok(mut from), Ok(mut to)) = (caller.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || {
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
    let (mut server, mut bytes, mut sent) = (server, vec![0; 16 << 10], 0_u64);
    while let Ok(count) = server.read(&mut bytes) {
        if count == 0 || caller.write_all(&bytes[..count]).is_err() {
            break;
        }
        sent += count as u64;
        counts.1.fetch_add(count as u64, Ordering::Relaxed);
        if sent > after && counts.0.load(Ordering::Relaxed) < times {
            counts.0.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    drop(caller.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}
