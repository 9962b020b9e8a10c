//! Show what running sandboxes use

mod choice;
mod growth;
mod rows;

use std::time::Duration;

use self::choice::Choice;
use self::growth::Growth;
use self::rows::{Columns, Row};
use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures, first};
use super::targets::Target;
use super::values;
use crate::engine::Troubles;
use crate::report::human;
use crate::sampling::{Figures, Room, Sampled, Sampler};
use crate::sessions::ears;
use crate::sessions::signals::{ENDING, INTERRUPT, Signals};

/// Show what running sandboxes use
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The sandboxes [default: those of the current project]
    #[arg(value_name = "NAME")]
    names: Vec<Target>,
    /// Those with this label (can be repeated; all must hold)
    #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = values::pair)]
    labels: Vec<(String, Option<String>)>,
    /// Those of every project on this host [default: off]
    #[arg(long)]
    all: bool,
    /// Show them again and again, and how fast they grow, until Ctrl-C [default: off]
    #[arg(long)]
    watch: bool,
    /// How often they are shown, at least every 500ms [default: 2s]
    #[arg(long, value_name = "DUR", value_parser = interval, requires = "watch")]
    interval: Option<Duration>,
    /// What comes first [default: name]
    #[arg(long, value_name = "KEY")]
    sort: Option<Sort>,
}

/// Watch what every running sandbox uses, the busiest first
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// How often they are shown, at least every 500ms [default: 2s]
    #[arg(long, value_name = "DUR", value_parser = interval)]
    interval: Option<Duration>,
    /// What comes first [default: cpu]
    #[arg(long, value_name = "KEY")]
    sort: Option<Sort>,
}

/// By what rows are sorted; figures fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// Project, name, instance
    Name,
    /// Processor time
    Cpu,
    /// Memory
    Memory,
    /// Bytes read and written
    Disk,
    /// Bytes received and sent
    Net,
}

/// How often figures are shown that nobody said a time for, and the least.
const INTERVAL: Duration = Duration::from_secs(2);
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// Whether figures are shown once or again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Showing {
    Once,
    Every(Duration),
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = values::duration(text)?;
    if interval < INTERVAL_MIN { Err("it is at least 500ms".into()) } else { Ok(interval) }
}

/// Prints what is used.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let choice = Choice::of(call, &args.names, &args.labels, args.all)?;
    let showing = match args.watch {
        true => Showing::Every(args.interval.unwrap_or(INTERVAL)),
        false => Showing::Once,
    };
    show(call, choice, (showing, args.sort.unwrap_or(Sort::Name)))
}

/// Prints what everybody uses, again and again.
pub(crate) fn top(args: &TopArgs, call: &Call) -> Ending {
    let choice = Choice::of(call, &[], &[], true)?;
    let showing = Showing::Every(args.interval.unwrap_or(INTERVAL));
    show(call, choice, (showing, args.sort.unwrap_or(Sort::Cpu)))
}

fn show(call: &Call, choice: Choice, (showing, sort): (Showing, Sort)) -> Ending {
    let sampler = Sampler::new(call.context.home(), call.context.clock, Room::make());
    let shown = Shown { call, choice, sort, sampler, growth: Growth::default() };
    match showing {
        Showing::Once => call.block_on(shown.once())?,
        Showing::Every(interval) => call.block_on(shown.watch(interval))?,
    }
}

/// What is shown, of whom.
struct Shown<'c> {
    call: &'c Call,
    choice: Choice,
    sort: Sort,
    sampler: Sampler,
    growth: Growth,
}

impl Shown<'_> {
    async fn once(mut self) -> Ending {
        let sampled = self.sample().await?;
        if let Some(told) = self.sampler.want_of_room() {
            self.call.report.warn(&told);
        }
        let off = self.off(&sampled);
        let rows = self.rows(sampled);
        if self.call.report.is_text() {
            if rows.is_empty() && off.is_empty() {
                self.call.report.note("no running sandboxes");
            }
            let table = rows::table(&rows, self.choice.is_wide(), Columns::Totals);
            self.call.report.out(&table.text(self.call.report.width()));
        } else {
            let documents: Vec<_> = rows.iter().map(Row::document).collect();
            self.call.report.document(&documents);
        }
        if off.is_empty() { Ok(0) } else { Err(Failures(off)) }
    }

    async fn watch(mut self, interval: Duration) -> Ending {
        let failed = |error: std::io::Error| {
            Failure::new("host::signals", "state", "cannot catch signals").cause(error.to_string())
        };
        let mut signals = Signals::catch(&ENDING).map_err(failed)?;
        loop {
            let sampled = self.sample().await?;
            let rows = self.rows(sampled);
            // Whoever waits for a reader hears nothing.
            ears::close();
            self.print(&rows);
            ears::heard();
            if self.call.report.is_closed() {
                return Ok(0);
            }
            // Nothing else of this process has to go on meanwhile.
            signals.wait_beside(std::iter::empty(), interval).map_err(failed)?;
            match signals.take().first() {
                Some(&INTERRUPT) => return Ok(0),
                Some(signal) => return Ok(u8::try_from(128 + signal).unwrap_or(130)),
                None => {}
            }
        }
    }

    /// Asks those who are meant and live now.
    async fn sample(&mut self) -> Result<Vec<Sampled>, Failure> {
        if self.call.context.existing_home()?.is_none() {
            return Ok(Vec::new());
        }
        let living = self.sampler.living().map_err(|error| first(Troubles::from(error)))?;
        let meant = living.into_iter().filter(|who| self.choice.means(who)).collect();
        Ok(self.sampler.ask(meant, Duration::ZERO).await)
    }

    /// Returns what to say of those that were named and are not measured.
    fn off(&self, sampled: &[Sampled]) -> Vec<Failure> {
        let off = sampled.iter().filter(|one| one.figures == Figures::Off);
        let named = off.filter(|one| self.choice.names(&one.who));
        let failure = |one: &Sampled| {
            let name = &one.who.name;
            Failure::new("metrics::off", "state", format!("{name}: it is not measured"))
                .hint("Take `enabled #false` out of its `metrics`, or --no-metrics away.")
        };
        named.map(failure).collect()
    }

    /// Returns a row for each that lives and is measured, in order.
    fn rows(&mut self, sampled: Vec<Sampled>) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for Sampled { who, figures } in sampled {
            match figures {
                Figures::Off | Figures::Gone(_) => self.growth.forget(who.machine.id()),
                Figures::New(_) | Figures::Same(_) | Figures::Silent => {
                    let sample = figures.sample().cloned();
                    let rates = sample.as_deref().and_then(|it| self.growth.add(&who, it));
                    rows.push(Row { who, sample, rates });
                }
            }
        }
        rows::sort(&mut rows, self.sort);
        rows
    }

    fn print(&self, rows: &[Row]) {
        let report = &self.call.report;
        if !report.is_text() {
            rows.iter().for_each(|row| report.line(&row.document().to_string()));
            return;
        }
        let table = rows::table(rows, self.choice.is_wide(), Columns::WithRates);
        let mut text = table.text(report.width());
        if rows.is_empty() {
            text = "no running sandboxes\n".to_owned();
        }
        if report.may_repaint() {
            report.repaint(&human::top_lines(&text, report.rows()));
        } else {
            // What was printed before stays: a line between.
            report.out(&format!("{text}\n"));
        }
    }
}
