//! How much has been moved, while it is being moved: one repainted line, or a plain one now and then.
//!
//! What is over at once says nothing. The line goes away with this value, so
//! that the result takes its place.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::progress::{HEARTBEAT, REPAINT_EVERY};
use super::screen::Screen;
use super::{Progress, Report, human, time};
use crate::context::Clock;

/// How long it may take before anything is said on a terminal.
const FIRST_WORD: Duration = Duration::from_millis(500);

/// Over which time a rate is taken.
const RATE_OVER: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub struct Moving<C: Clock> {
    report: Rc<Report>,
    clock: C,
    title: &'static str,
    begun: Duration,
    said: Option<Duration>,
    /// What had been moved at some moments, the oldest first.
    past: VecDeque<(Duration, u64)>,
}

impl<C: Clock> Moving<C> {
    /// Begins to follow what `title` says, as `copying`.
    pub fn begin(report: &Rc<Report>, clock: C, title: &'static str) -> Self {
        let (report, begun) = (Rc::clone(report), clock.elapsed());
        let past = VecDeque::from([(begun, 0)]);
        Self { report, clock, title, begun, said: None, past }
    }

    /// Takes note of what has been moved; files where they are counted.
    pub fn at(&mut self, files: Option<u64>, bytes: u64) {
        let (first, every) = match self.report.form.progress {
            Progress::Tty => (FIRST_WORD, REPAINT_EVERY),
            Progress::Plain => (HEARTBEAT, HEARTBEAT),
            Progress::Json | Progress::Quiet => return,
        };
        let now = self.clock.elapsed();
        let due = self.said.map_or(self.begun + first, |said| said + every);
        self.note(now, bytes);
        if now < due {
            return;
        }
        self.said = Some(now);
        let line = self.line(now, files, bytes);
        if self.report.form.progress == Progress::Plain {
            let at = time::time_of_day(self.clock.unix_ms());
            self.report.err(&format!("{at} {line}\n"));
        } else if let Ok(mut bars) = self.report.bars.lock() {
            let rows = self.report.form.terminal.rows;
            bars.get_or_insert_with(|| Screen::new(rows)).show(&BTreeMap::new(), &line);
        }
    }

    fn note(&mut self, now: Duration, bytes: u64) {
        let newest = self.past.back().map_or(Duration::ZERO, |(at, _)| *at);
        if now.saturating_sub(newest) < REPAINT_EVERY {
            return;
        }
        self.past.push_back((now, bytes));
        while self.past.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= RATE_OVER) {
            self.past.pop_front();
        }
    }

    /// Returns `copying  12 files  3.4 MiB  41 MiB/s  2.00s`.
    fn line(&self, now: Duration, files: Option<u64>, bytes: u64) -> String {
        let (since, before) = self.past.front().copied().unwrap_or((self.begun, 0));
        let ms = now.saturating_sub(since).as_millis().max(1);
        let rate = u128::from(bytes.saturating_sub(before)) * 1000 / ms;
        let rate = human::size(u64::try_from(rate).unwrap_or(u64::MAX));
        let spent = human::duration(now.saturating_sub(self.begun));
        let count = |files| human::count(usize::try_from(files).unwrap_or(usize::MAX), "file");
        let files = files.map(|files| format!("{}  ", count(files))).unwrap_or_default();
        format!("{}  {files}{}  {rate}/s  {spent}", self.title, human::size(bytes))
    }
}

impl<C: Clock> Drop for Moving<C> {
    fn drop(&mut self) {
        if self.report.form.progress != Progress::Tty {
            return;
        }
        let Ok(mut bars) = self.report.bars.lock() else { return };
        if let Some(screen) = bars.take() {
            screen.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::style::Style;
    use super::super::{Annotations, Form, Output};
    use super::*;
    use crate::context::Terminal;

    #[derive(Debug, Clone, Default)]
    struct Hand(Rc<Cell<u64>>);

    impl Clock for Hand {
        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.get())
        }

        fn unix_ms(&self) -> u64 {
            self.0.get()
        }
    }

    fn moving(clock: &Hand, progress: Progress) -> Moving<Hand> {
        let (out, err, terminal) = (Style::PLAIN, Style::PLAIN, Terminal::none());
        let (output, annotations) = (Output::Text, Annotations::Off);
        let report = Report::new(Form { output, progress, out, err, annotations, terminal });
        Moving::begin(&Rc::new(report), clock.clone(), "copying")
    }

    #[test]
    fn a_line_tells_the_rate_of_the_last_seconds() {
        let clock = Hand::default();
        let mut moving = moving(&clock, Progress::Quiet);
        for second in 1..=8 {
            clock.0.set(second * 1000);
            // Fast for four seconds, then slow.
            let mib = if second <= 4 { second * 10 } else { 36 + second };
            moving.note(clock.elapsed(), mib << 20);
        }
        let line = |files, bytes| moving.line(clock.elapsed(), files, bytes);
        assert_eq!(line(Some(12), 44 << 20), "copying  12 files  44 MiB  1 MiB/s  8.00s");
        assert_eq!(line(None, 44 << 20), "copying  44 MiB  1 MiB/s  8.00s");
        assert!(moving.past.len() <= 5, "{:?}", moving.past);
    }

    #[test]
    fn what_is_over_at_once_says_nothing_and_the_line_goes_at_the_end() {
        let clock = Hand::default();
        let mut moving = moving(&clock, Progress::Tty);
        let report = Rc::clone(&moving.report);
        let is_painted = || report.bars.lock().unwrap().is_some();
        moving.at(Some(1), 1);
        clock.0.set(499);
        moving.at(Some(1), 1);
        assert!(!is_painted());
        clock.0.set(500);
        moving.at(Some(1), 1);
        assert!(is_painted());
        drop(moving);
        assert!(!is_painted());
    }

    #[test]
    fn programs_and_those_who_want_quiet_hear_nothing() {
        for progress in [Progress::Json, Progress::Quiet] {
            let clock = Hand::default();
            let mut moving = moving(&clock, progress);
            clock.0.set(60_000);
            moving.at(Some(1), 1);
            assert_eq!(moving.said, None);
        }
        let clock = Hand::default();
        let mut moving = moving(&clock, Progress::Plain);
        clock.0.set(9_999);
        moving.at(Some(1), 1);
        assert_eq!(moving.said, None);
        clock.0.set(10_000);
        moving.at(Some(1), 1);
        assert_eq!(moving.said, Some(Duration::from_secs(10)));
    }
}
