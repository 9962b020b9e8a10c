//! Figures as lines on stdout: one for each sandbox and flush.

use std::fmt::Write as _;

use schema::figures::Sample;
use tokio::time::{MissedTickBehavior, interval};

use super::options::{Gathering, Rounds};
use super::sources::Sources;
use super::stop::Stop;
use crate::context::{Clock as _, Context};
use crate::report::Report;
use crate::report::clean::clean;
use crate::report::human::{millis, size};
use crate::report::time::local;
use crate::sampling::{Living, Sampled, document};

/// Prints what machines tell, each time that is flushed, until a signal comes or nobody reads.
pub async fn print(wish: Gathering, context: &Context, report: &Report, mut stop: Stop) {
    let mut sources = Sources::of(context.home(), context.clock);
    let mut ticks = interval(wish.flush_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_over = tokio::select! {
            biased;
            () = stop.asked() => true,
            _ = ticks.tick() => wish.rounds == Rounds::One,
        };
        let told = sources.ask(&wish).await;
        round(&wish, &told, context.clock.unix_ms(), report);
        if is_over || report.is_closed() {
            return;
        }
    }
}

/// Prints one round.
fn round(wish: &Gathering, told: &[Sampled], now_ms: u64, report: &Report) {
    let is_young = |sample: &Sample| {
        let age_ms = u128::from(now_ms.saturating_sub(sample.sampled_at_ms));
        wish.sample_age_max.is_none_or(|max| age_ms <= max.as_millis())
    };
    let told = told.iter().filter_map(|one| Some((&*one.who, one.figures.sample()?)));
    let told: Vec<_> = told.filter(|(_, sample)| is_young(sample)).collect();
    if !report.is_text() {
        told.iter().for_each(|(who, sample)| report.document(&document(who, Some(sample))));
        return;
    }
    if told.is_empty() {
        report.line("no running sandboxes");
    }
    told.iter().for_each(|(who, sample)| report.line(&line(who, sample)));
}

/// Returns one sandbox's line.
fn line(who: &Living, sample: &Sample) -> String {
    let bytes = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), size);
    let cpu = sample.cpu_percent.map_or_else(|| "-".to_owned(), |share| format!("{share:.1}%"));
    let mut line = format!("{}  {}/{}", local(sample.sampled_at_ms), who.project, who.name);
    let (used, limit) = (bytes(sample.memory_bytes), bytes(sample.memory_limit_bytes));
    let (read, written) = (bytes(sample.disk_read_bytes), bytes(sample.disk_write_bytes));
    let (received, sent) = (bytes(sample.net_rx_bytes), bytes(sample.net_tx_bytes));
    let _ = write!(line, "  cpu={cpu} mem={used}/{limit} disk_r={read} disk_w={written}");
    let _ = write!(line, " net_rx={received} net_tx={sent} up={}", millis(sample.uptime_ms));
    clean(&line).into_owned()
}
