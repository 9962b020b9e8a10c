//! The switch without a socket: frames in, frames out, tables told by what comes.

use schema::wire::message::{Exec, Exited, OnGone, Started, StdinMode};
use schema::wire::relay::IDS_PER_SLOT;
use schema::wire::{CONTROL_SESSION, CREDIT_BYTES_MAX, CREDIT_START_BYTES, Frame, Kind, Message};

use super::switch::{Effect, Fault, Switch};

fn exec(log: bool, on_gone: OnGone) -> Exec {
    Exec {
        argv: vec!["true".into()],
        env: vec![],
        cwd: None,
        user: None,
        tty: None,
        stdin: StdinMode::Pipe,
        rlimits: vec![],
        on_gone,
        log,
        name: None,
    }
}

fn opened(switch: &mut Switch, log: bool) -> (u32, u32) {
    let (slot, welcome) = switch.join().unwrap();
    let exec = Message::Exec(exec(log, OnGone::Kill)).to_frame(welcome.first);
    switch.hear_client(slot, exec, None).unwrap();
    assert_eq!(switch.next_for_agent().map(|frame| frame.code), Some(0x0100));
    (slot, welcome.first)
}

fn from_agent(switch: &mut Switch, frame: Frame) -> Vec<Effect> {
    let mut effects = Vec::new();
    switch.hear_agent(frame, &mut effects);
    effects
}

fn done(session: u32) -> Frame {
    Message::Done(schema::wire::message::Done {}).to_frame(session)
}

fn for_agent(switch: &mut Switch) -> Vec<Frame> {
    std::iter::from_fn(|| switch.next_for_agent()).collect()
}

fn for_client(switch: &mut Switch, slot: u32) -> Vec<Frame> {
    std::iter::from_fn(|| switch.next_for_client(slot)).collect()
}

#[test]
fn a_command_runs_from_its_exec_to_both_last_words() {
    let mut switch = Switch::new();
    let (slot, id) = opened(&mut switch, false);
    from_agent(&mut switch, Message::Started(Started { pid: 9 }).to_frame(id));
    from_agent(&mut switch, Frame::data(id, 0, b"out"));
    let exited =
        Exited { code: Some(0), signal: None, core: false, cpu_ms: 0, rss_max_bytes: 0, oom: None };
    from_agent(&mut switch, Message::Exited(exited).to_frame(id));
    assert_eq!(from_agent(&mut switch, done(id)), [Effect::Wake(slot)]);
    let codes: Vec<(Kind, u16)> =
        for_client(&mut switch, slot).iter().map(|frame| (frame.kind, frame.code)).collect();
    let message = Kind::Message;
    assert_eq!(codes, [(message, 0x0101), (Kind::Data, 0), (message, 0x0103), (message, 9)]);
    assert_eq!(switch.session_count(), 0);
}

#[test]
fn a_client_that_grants_and_does_not_read_is_kept_no_more_for() {
    let mut switch = Switch::new();
    let (slot, id) = opened(&mut switch, false);
    let (mut open, mut kept) = (CREDIT_START_BYTES as usize, 0);
    let piece = CREDIT_START_BYTES as usize / 4;
    for _ in 0..4 * CREDIT_BYTES_MAX as usize / piece {
        switch.hear_client(slot, Frame::credit(id, 0, CREDIT_START_BYTES / 4), None).unwrap();
        open += for_agent(&mut switch).iter().map(|f| f.granted() as usize).sum::<usize>();
        if open >= piece {
            from_agent(&mut switch, Frame::data(id, 0, &vec![0; piece]));
            (open, kept) = (open - piece, kept + piece);
        }
    }
    assert_eq!(kept, CREDIT_BYTES_MAX as usize, "one window, the largest");
    let read: usize = for_client(&mut switch, slot).iter().map(|f| f.payload.len()).sum();
    assert_eq!(read, kept);
    switch.hear_client(slot, Frame::credit(id, 0, 10), None).unwrap();
    assert_eq!(for_agent(&mut switch)[0].granted(), 10, "it goes on once it reads");
}

#[test]
fn a_time_that_waits_is_replaced_by_the_next() {
    let mut switch = Switch::new();
    for unix_ns in [1, 2, 3] {
        let time = schema::wire::message::ClockSync { unix_ns };
        switch.send(Message::ClockSync(time).to_frame(CONTROL_SESSION));
    }
    let time = schema::wire::message::ClockSync { unix_ns: 3 };
    let time = Message::ClockSync(time).to_frame(CONTROL_SESSION);
    assert_eq!(for_agent(&mut switch), [time]);
}

#[test]
fn a_client_keeps_to_its_range_and_away_from_session_zero() {
    let mut switch = Switch::new();
    let (slot, welcome) = switch.join().unwrap();
    let send = |switch: &mut Switch, frame| switch.hear_client(slot, frame, None);
    let exec = |id| Message::Exec(exec(false, OnGone::Kill)).to_frame(id);
    assert_eq!(send(&mut switch, exec(CONTROL_SESSION)), Err(Fault::Range));
    assert_eq!(send(&mut switch, exec(welcome.end)), Err(Fault::Range));
    let shutdown = schema::wire::message::Shutdown { grace_ms: 0, reason: String::new() };
    let shutdown = Message::Shutdown(shutdown).to_frame(welcome.first);
    assert_eq!(send(&mut switch, shutdown), Err(Fault::ControlMessage));
}

#[test]
fn input_beyond_the_credit_ends_the_session_on_both_sides() {
    let mut switch = Switch::new();
    let (slot, id) = opened(&mut switch, false);
    let full = Frame::data(id, 0, &[0; CREDIT_START_BYTES as usize]);
    switch.hear_client(slot, full.clone(), None).unwrap();
    from_agent(&mut switch, Frame::credit(id, 0, 10));
    switch.hear_client(slot, Frame::data(id, 0, &[0; 10]), None).unwrap();
    switch.hear_client(slot, Frame::data(id, 0, &[0]), None).unwrap();
    let kinds: Vec<Kind> = for_agent(&mut switch).iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [Kind::Data, Kind::Data, Kind::Reset]);
    assert_eq!(switch.session_count(), 0);
}

#[test]
fn output_beyond_the_credit_is_never_kept() {
    let mut switch = Switch::new();
    let (slot, id) = opened(&mut switch, false);
    from_agent(&mut switch, Frame::data(id, 0, &[0; CREDIT_START_BYTES as usize]));
    from_agent(&mut switch, Frame::data(id, 1, b"the other stream has its own"));
    from_agent(&mut switch, Frame::data(id, 0, &[0]));
    let last = for_client(&mut switch, slot);
    assert_eq!(last.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [Kind::Reset]);
    assert_eq!(for_agent(&mut switch), last);
}

#[test]
fn the_sixty_fifth_session_of_a_client_is_refused() {
    let mut switch = Switch::new();
    let (slot, welcome) = switch.join().unwrap();
    for number in 0..65 {
        let frame = Message::Exec(exec(false, OnGone::Kill)).to_frame(welcome.first + number);
        switch.hear_client(slot, frame, None).unwrap();
    }
    assert_eq!(switch.session_count(), 64);
    let [refusal] = for_client(&mut switch, slot).try_into().unwrap();
    assert_eq!((refusal.kind, refusal.session), (Kind::Reset, welcome.first + 64));
}

#[test]
fn there_is_room_for_128_clients_and_no_more() {
    let mut switch = Switch::new();
    let slots: Vec<u32> = (0..128).map(|_| switch.join().unwrap().0).collect();
    assert_eq!((slots.first(), slots.last()), (Some(&1), Some(&128)));
    assert!(switch.join().is_none());
    switch.leave(7);
    assert_eq!(switch.join().map(|(slot, _)| slot), Some(7));
}

#[test]
fn what_a_client_leaves_goes_on_into_the_log() {
    let mut switch = Switch::new();
    let (slot, id) = opened(&mut switch, true);
    from_agent(&mut switch, Frame::data(id, 0, &[0; 60_000]));
    switch.leave(slot);
    let sent = for_agent(&mut switch);
    assert_eq!(sent[0].granted(), 60_000, "nobody else grants any more");
    assert!(sent.iter().any(|frame| frame.code == 0x000B));
    let effects = from_agent(&mut switch, Frame::data(id, 0, b"late"));
    assert!(matches!(&effects[..], [Effect::Output { is_own: true, log: Some(_), .. }]));
    from_agent(&mut switch, done(id));
    assert_eq!(for_agent(&mut switch), [done(id)], "the last word is answered for the client");
    assert_eq!(switch.take_logs_over().len(), 1);
}

#[test]
fn an_id_is_not_used_again_by_the_next_client_of_a_slot() {
    let mut switch = Switch::new();
    let (slot, id) = opened(&mut switch, false);
    switch.leave(slot);
    for _ in 0..127 {
        let (other, _) = switch.join().unwrap();
        switch.leave(other);
    }
    let (again, welcome) = switch.join().unwrap();
    assert_eq!((again, welcome.first), (slot, id + 1));
    assert_eq!(welcome.end, (slot + 1) * IDS_PER_SLOT);
}

#[test]
fn clients_take_turns_at_the_channel() {
    let mut switch = Switch::new();
    let (bulk, bulk_id) = opened(&mut switch, false);
    let (keys, keys_id) = opened(&mut switch, false);
    for _ in 0..3 {
        switch.hear_client(bulk, Frame::data(bulk_id, 0, &[0; 100]), None).unwrap();
    }
    switch.hear_client(keys, Frame::data(keys_id, 0, b"k"), None).unwrap();
    let order: Vec<u32> = for_agent(&mut switch).iter().map(|frame| frame.session).collect();
    assert_eq!(order, [bulk_id, keys_id, bulk_id, bulk_id]);
}

#[test]
fn a_refused_opening_leaves_no_session() {
    let mut switch = Switch::new();
    let (slot, id) = opened(&mut switch, false);
    let mut refusal = schema::wire::message::Error::new(
        schema::wire::message::ErrorCode::Stopping,
        "the guest is shutting down",
    );
    refusal.operation = Some(0x0100);
    from_agent(&mut switch, Message::Error(refusal).to_frame(id));
    assert_eq!(for_client(&mut switch, slot).len(), 1);
    assert_eq!(switch.session_count(), 0);
}

#[test]
fn the_runtimes_own_sessions_are_read_at_once() {
    let mut switch = Switch::new();
    let id =
        switch.open_own(&Exec { name: Some("main".into()), ..exec(true, OnGone::Keep) }.into());
    assert_eq!(id, 1);
    for _ in 0..10 {
        let effects = from_agent(&mut switch, Frame::data(id, 0, &[b'x'; 30_000]));
        let [Effect::Output { log: Some(log), .. }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(&*log.name, "main");
    }
    let granted: u32 = for_agent(&mut switch).iter().map(Frame::granted).sum();
    assert_eq!(granted, 300_000);
}
