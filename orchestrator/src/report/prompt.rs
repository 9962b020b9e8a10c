//! A question on the terminal, which Ctrl-C and the end of input answer too.

use std::io::{self, BufRead as _};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};

use super::Report;
use crate::sessions::signals::{ENDING, Signals};

/// Asks and returns the line that was typed; `None` when the input ended, or a signal came.
pub fn ask(report: &Report, question: &str) -> Option<String> {
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
            return Some(line.trim().to_owned());
        }
    }
}
