//! A question on the terminal, which Ctrl-C and the end of input answer too.

use std::io::{self, BufRead as _};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Report;
use crate::sessions::signals::{ENDING, Signals};

/// Asks and returns the line that was typed; `None` when the input ended, or a signal came.
pub fn ask(report: &Report, question: &str) -> Option<String> {
    line(report, question).map(|line| line.trim().to_owned())
}

/// Asks for something that is not shown while it is typed.
pub fn secret(report: &Report, question: &str) -> Option<String> {
    let silence = Silence::begin().ok()?;
    let typed = line(report, question);
    drop(silence);
    if typed.is_some() {
        report.err("\n");
    }
    typed.map(|line| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed; dropping it gives back what was there before.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing given back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

fn line(report: &Report, question: &str) -> Option<String> {
    let mut signals = Signals::catch(&ENDING).ok()?;
    report.err(question);
    let input = io::stdin();
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
        fds.extend(signals.pipes().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
        let is_typed = !fds[0].revents().is_empty();
        drop(fds);
        if !signals.take().is_empty() {
            report.err("\n");
            return None;
        }
        if is_typed {
            let mut line = String::new();
            let count = input.lock().read_line(&mut line).unwrap_or(0);
            if count == 0 {
                report.err("\n");
                return None;
            }
            return Some(line);
        }
    }
}
