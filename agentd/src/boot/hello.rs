//! Step `hello`: the agent's first word, and the boot record that answers it.

use std::os::fd::OwnedFd;

use schema::wire::boot::BootRecord;
use schema::wire::generation::{CURRENT, negotiate};
use schema::wire::message::{Boot, BootStep, Hello};
use schema::wire::{
    BOOT_RECORD_BYTES_MAX, CONTROL_SESSION, CREDIT_START_BYTES, Frame, Kind, Message, PREAMBLE,
    STREAM_MAIN, decode_boot_record,
};

use super::{Attempt as _, Booting, Failed, Held, StepError, early, ports, step_time};
use crate::channel::{Channel, ChannelError};
use crate::place::Place;
use crate::sys;
use crate::users::Identity;

/// The steps up to the channel.
pub(super) const STEPS: [&str; 3] = ["early", "ports", "hello"];

/// Does the steps up to the first word and announces them after the fact.
pub(super) fn connect(
    place: Place,
    given: Option<OwnedFd>,
    kernel_ms: u32,
) -> Result<Booting, Failed> {
    let [early_name, ports_name, hello_name] = STEPS;
    let mut times = Vec::new();
    let begun = sys::clock::monotonic_ms();
    let signals = early::run(&place).map_err(|error| Failed { step: early_name, error })?;
    times.push(step_time(early_name, begun));

    let begun = sys::clock::monotonic_ms();
    let mut channel = open(given).map_err(|error| Failed { step: ports_name, error })?;
    times.push(step_time(ports_name, begun));

    channel.report(Hello {
        generation: CURRENT,
        version: env!("CARGO_PKG_VERSION").into(),
        arch: std::env::consts::ARCH.into(),
        kernel: sys::machine::kernel_release(),
    });
    for name in STEPS {
        channel.report(BootStep { name: name.into(), skipped: None });
    }
    channel.flush().map_err(|error| Failed { step: hello_name, error: error.into() })?;
    Ok(Booting {
        place,
        channel,
        signals,
        record: BootRecord::default(),
        generation: CURRENT,
        times,
        kernel_ms,
        user: Identity {
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            home: "/".into(),
            shell: None,
            name: None,
        },
        devices: Vec::new(),
        held: Held::default(),
        limits: Vec::new(),
        disks: None,
        shares: None,
    })
}

/// Waits for the boot record; the runtime may take its time.
pub(super) fn take_record(booting: &mut Booting) -> Result<(), StepError> {
    let begun = sys::clock::monotonic_ms();
    let boot = wait_for_boot(&mut booting.channel)?;
    let length = usize::try_from(boot.bytes).unwrap_or(usize::MAX);
    if length > BOOT_RECORD_BYTES_MAX {
        return Err(StepError::Record(format!("a boot record of {length} bytes is too long")));
    }
    booting.generation = negotiate(CURRENT, boot.generation);
    if booting.generation == 0 {
        return Err(StepError::Record("the runtime speaks no generation of this protocol".into()));
    }
    let bytes = receive(&mut booting.channel, length)?;
    booting.record = decode_boot_record(&bytes)
        .map_err(|error| StepError::Record(format!("the boot record does not decode: {error}")))?;
    booting.limits = super::limits::of_sessions(&booting.place)?;
    booting.times.push(step_time("hello", begun));
    Ok(())
}

fn open(given: Option<OwnedFd>) -> Result<Channel, StepError> {
    let Some(fd) = given else {
        return Ok(Channel::new(ports::open()?));
    };
    sys::io::set_nonblocking(&fd).attempt(|| "setting up the channel".into())?;
    let mut channel = Channel::new(fd);
    channel.send_raw(&PREAMBLE);
    Ok(channel)
}

fn wait_for_boot(channel: &mut Channel) -> Result<Boot, StepError> {
    let frame = next(channel)?;
    match (frame.kind, Message::decode(frame.code, &frame.payload)) {
        (Kind::Message, Ok(Message::Boot(boot))) => Ok(boot),
        _ => Err(StepError::Record("the runtime's first word is not `Boot`".into())),
    }
}

fn receive(channel: &mut Channel, length: usize) -> Result<Vec<u8>, StepError> {
    let mut bytes = Vec::new();
    let mut consumed = 0;
    while bytes.len() < length {
        let frame = next(channel)?;
        if (frame.kind, frame.session) != (Kind::Data, CONTROL_SESSION) {
            return Err(StepError::Record("the boot record is interrupted".into()));
        }
        let is_end = frame.is_end();
        bytes.extend_from_slice(&frame.payload);
        consumed += u32::try_from(frame.payload.len()).unwrap_or(0);
        if is_end && bytes.len() < length {
            return Err(StepError::Record("the boot record ends too early".into()));
        }
        // A record that fits the first credit, as nearly all do, costs no grant.
        if bytes.len() < length && consumed >= CREDIT_START_BYTES / 2 {
            channel.send(&Frame::credit(CONTROL_SESSION, STREAM_MAIN, consumed));
            consumed = 0;
        }
    }
    if bytes.len() > length {
        return Err(StepError::Record("the boot record is longer than announced".into()));
    }
    Ok(bytes)
}

fn next(channel: &mut Channel) -> Result<Frame, StepError> {
    let frame = channel.wait_frame(u64::MAX)?;
    frame.ok_or(StepError::Channel(ChannelError::Closed))
}
