//! One test binary, one file per promise: the real programs, with machines that are plain
//! processes; and the checks that look at how the checkout is written.
#![cfg(test)]

mod adopted_volumes;
mod aftermath;
mod attach;
mod canary;
mod checkouts;
mod cli_sessions;
mod cli_words;
mod configuration;
mod cp;
mod cp_ended;
mod crash;
mod diagnostics;
mod diff_page;
mod drift;
mod dry_runs;
mod events;
mod examples;
mod export;
mod file_changes;
mod file_tools;
mod floors;
mod following_logs;
mod hostile;
mod install;
mod jail;
mod kills;
mod model;
mod models;
mod mounts;
mod network_words;
mod not_yet;
mod pages;
mod preflight;
mod probes;
mod problems;
mod progress;
mod reading;
mod restarts;
mod road;
mod schemas;
mod states;
mod tidy;
mod volumes;
mod watch;
