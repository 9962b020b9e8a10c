//! What a trace says of what it was told.

use schema::failure::Report;
use schema::name::InstanceName;

use super::*;
use crate::execute::{Effect, StepError};
use crate::plan::{Edge, OnFailure};

fn step(id: u32, op: Op, name: &str, after: &[u32]) -> Step {
    let edge = |step: &u32| Edge { step: StepId(*step), on_failure: OnFailure::Skip };
    let address = Address::Sandbox(name.parse::<InstanceName>().unwrap());
    Step { id: StepId(id), op, address, after: after.iter().map(edge).collect() }
}

fn ended(trace: &Trace, code: u8) -> Vec<Span> {
    let bytes = trace.end(Resource::default(), code, 100);
    let mut request = ExportTraces::decode(bytes).unwrap();
    request.resource_spans.remove(0).scope_spans.remove(0).spans
}

#[test]
fn rt_11_9_a_step_is_a_span_that_links_to_what_it_waited_for() {
    let trace = Trace::new("msb up", 1, None, [7; 24]);
    let (first, second) = (step(1, Op::Boot, "db", &[]), step(2, Op::Boot, "web", &[1]));
    let time = std::time::Duration::ZERO;
    trace.progress(&Progress::Started(&first), 10);
    trace.progress(&Progress::Done(&first, &Effect::default(), time), 20);
    trace.progress(&Progress::Started(&second), 20);
    let report =
        Report { code: "msb::boot".into(), message: "/secret".into(), ..Report::default() };
    trace.progress(&Progress::Failed(&second, &StepError::of(report), time), 30);
    trace.ran(Some(5));
    let spans = ended(&trace, 1);
    let [root, db, web] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((root.name.as_str(), root.parent_span_id.len()), ("msb up", 0));
    assert_eq!(root.status.as_ref().unwrap().code, 2);
    assert_eq!((root.start_time_unix_nano, root.end_time_unix_nano), (1_000_000, 100_000_000));
    for span in [db, web] {
        assert_eq!((&span.parent_span_id, &span.trace_id), (&root.span_id, &root.trace_id));
        assert_eq!((span.name.as_str(), span.span_id.len(), span.trace_id.len()), ("boot", 8, 16));
    }
    assert_eq!(db.start_time_unix_nano, 10_000_000);
    assert!(db.links.is_empty() && db.status.is_none());
    assert_eq!(web.links, [Link { trace_id: db.trace_id.clone(), span_id: db.span_id.clone() }]);
    assert!(web.attributes.contains(&attribute("msb.error.code", "msb::boot")));
    assert!(web.attributes.contains(&attribute("msb.address", "sandbox.web")));
    let whole = format!("{spans:?}");
    assert!(!whole.contains("/secret"), "names and numbers only: {whole}");
}

#[test]
fn rt_11_9_a_command_runs_within_the_span_that_it_was_given() {
    let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace = Trace::new("msb up", 1, Parent::parse(text), [7; 24]);
    let root = ended(&trace, 0).remove(0);
    assert_eq!((root.trace_id[0], root.parent_span_id[7]), (0x0a, 0x31));
    assert_ne!(root.span_id, root.parent_span_id);
}

#[test]
fn rt_11_9_a_trace_is_bounded_and_says_what_is_left_out() {
    let trace = Trace::new("msb up", 1, None, [0xff; 24]);
    for number in 1..=3000 {
        let step = step(number, Op::Stop, "web", &[]);
        trace.progress(&Progress::Started(&step), 1);
        trace.progress(&Progress::Done(&step, &Effect::default(), std::time::Duration::ZERO), 2);
    }
    let spans = ended(&trace, 0);
    assert_eq!(spans.len(), SPANS_MAX);
    assert!(spans[0].attributes.contains(&counted("msb.spans_left_out", 3001 - 2048)));
}
