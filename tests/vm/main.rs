//! Tests on real machines, under the driver that proves itself; emulation is enough.
//!
//! What `it` holds for plain processes has its case here, one at least for each promise.
#![cfg(test)]

mod calls;
mod clocks;
mod copies;
mod debian;
mod drivers;
mod durable;
mod egress;
mod ends;
mod example;
mod faults;
mod figures;
mod guest;
mod idle;
mod image_words;
mod kernel;
mod listings;
mod mounts;
mod network;
mod noise;
mod ports;
mod posix;
mod probes;
mod proof;
mod published;
mod restarts;
mod security;
mod servers;
mod siblings;
mod verdicts;
