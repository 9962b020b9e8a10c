//! A changing command as a trace: a span for the whole, one for each step, links for what waited for what.
//!
//! Names and numbers only: no environment, no argument, no path. It is told what happens and when;
//! it has no socket and no clock.

mod deliver;
mod messages;
mod parent;

use std::cell::RefCell;
use std::collections::BTreeMap;

use prost::Message as _;
use prost::bytes::Bytes;
use schema::change::Class;
use schema::record::Record;

use super::messages::{Resource, Scope, attribute, counted};
use crate::execute::Progress;
use crate::plan::{Address, Op, Plan, Step, StepId};
pub use deliver::{DELIVER_MAX, deliver};
use messages::{ExportTraces, Link, Outcome, ResourceSpans, ScopeSpans, Span};
pub use parent::Parent;

/// How many spans a trace holds, its root among them.
const SPANS_MAX: usize = 2048;

/// `SPAN_KIND_INTERNAL`
const INTERNAL: i32 = 1;

/// See the module.
#[derive(Debug)]
pub struct Trace {
    name: String,
    began_ms: u64,
    trace: [u8; 16],
    parent: Option<[u8; 8]>,
    /// Spans are numbered from here on.
    first: u64,
    told: RefCell<Told>,
}

/// What was told so far.
#[derive(Debug, Default)]
struct Told {
    project: Option<String>,
    run: Option<i64>,
    classes: BTreeMap<Address, Class>,
    /// The number of each step's span, and when it began.
    steps: BTreeMap<StepId, (u64, u64)>,
    spans: Vec<Span>,
    /// The spans of boots, by whose they are: what is known of them lies in records.
    boots: Vec<(Address, u64)>,
    numbered: u64,
    left_out: u64,
}

impl Trace {
    /// Returns the trace of a command that began at this moment; `chance` numbers it.
    #[must_use]
    pub fn new(name: &str, began_ms: u64, parent: Option<Parent>, chance: [u8; 24]) -> Self {
        let mut own = [0; 16];
        own.copy_from_slice(&chance[..16]);
        let mut first = [0; 8];
        first.copy_from_slice(&chance[16..]);
        let (trace, parent) = match parent {
            Some(Parent { trace, span, .. }) => (trace, Some(span)),
            None => (own, None),
        };
        // Zero is no number of a span.
        let first = u64::from_be_bytes(first).clamp(1, u64::MAX / 2);
        let told = RefCell::new(Told { numbered: 1, ..Told::default() });
        Self { name: name.to_owned(), began_ms, trace, parent, first, told }
    }

    /// Is told what will be done.
    pub fn planned(&self, plan: &Plan) {
        let mut told = self.told.borrow_mut();
        told.project = Some(plan.head.name.to_string());
        told.classes =
            plan.changes.iter().map(|change| (change.address.clone(), change.class)).collect();
        told.steps.clear();
    }

    /// Tells whether it tells of this project.
    #[must_use]
    pub fn is_of(&self, project: &str) -> bool {
        self.told.borrow().project.as_deref() == Some(project)
    }

    /// Is told the number of the run.
    pub fn ran(&self, run: Option<i64>) {
        self.told.borrow_mut().run = run;
    }

    /// Is told how a step moves on.
    pub fn progress(&self, progress: &Progress<'_>, now_ms: u64) {
        let told = &mut *self.told.borrow_mut();
        let (step, result, code) = match progress {
            Progress::Started(step) => {
                let number = told.number();
                told.steps.insert(step.id, (number, now_ms));
                return;
            }
            Progress::Done(step, ..) => (step, "done", None),
            Progress::Failed(step, error, _) => (step, "failed", Some(error.report.code.as_str())),
            Progress::Skipped(step, _) => {
                let number = told.number();
                told.steps.insert(step.id, (number, now_ms));
                (step, "skipped", None)
            }
        };
        let Some((number, began_ms)) = told.steps.get(&step.id).copied() else { return };
        if step.op == Op::Boot && result == "done" {
            told.boots.push((step.address.clone(), number));
        }
        let span = self.step(told, step, (result, code));
        let times = (began_ms, now_ms);
        self.add(told, Span { name: step.op.as_str().to_owned(), ..span }, (number, 0), times);
    }

    /// Is told the record of a machine that was booted: what it took until its agent was there.
    pub fn booted(&self, address: &Address, record: &Record) {
        let told = &mut *self.told.borrow_mut();
        let Some(boot) = told.boots.iter().position(|(of, _)| of == address) else { return };
        let (_, above) = told.boots.swap_remove(boot);
        let marks = [record.started_at_ms, record.first_byte_at_ms, record.agent_ready_at_ms];
        for (name, pair) in ["kernel", "agent"].into_iter().zip(marks.windows(2)) {
            let [Some(from), Some(to)] = *pair else { continue };
            let number = told.number();
            let span = Span { name: name.to_owned(), ..Span::default() };
            self.add(told, span, (number, above), (from, to));
        }
    }

    /// Returns the addresses that were booted, and of which no record was told.
    #[must_use]
    pub fn boots(&self) -> Vec<Address> {
        self.told.borrow().boots.iter().map(|(address, _)| address.clone()).collect()
    }

    /// Returns the request that tells all of it, for a command that ended with this code.
    #[must_use]
    pub(super) fn end(&self, resource: Resource, code: u8, now_ms: u64) -> Bytes {
        let told = &mut *self.told.borrow_mut();
        let mut attributes = vec![counted("msb.exit_code", code.into())];
        attributes.extend(told.project.as_deref().map(|name| attribute("msb.project", name)));
        attributes.extend(told.run.map(|run| counted("msb.run", run)));
        let left_out = i64::try_from(told.left_out).unwrap_or(i64::MAX);
        attributes.extend((left_out > 0).then(|| counted("msb.spans_left_out", left_out)));
        let status = (code != 0).then(|| Outcome { message: String::new(), code: 2 });
        let root = Span {
            name: self.name.clone(),
            parent_span_id: self.parent.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id)),
            attributes,
            status,
            ..self.span((0, 0), (self.began_ms, now_ms))
        };
        let mut spans = vec![root];
        spans.append(&mut told.spans);
        let scope = Scope { name: "msb".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans }];
        ExportTraces { resource_spans }.encode_to_vec().into()
    }

    /// Returns what is said of a step.
    fn step(&self, told: &Told, step: &Step, (result, code): (&str, Option<&str>)) -> Span {
        let texts = [
            ("msb.op", Some(step.op.as_str())),
            ("msb.class", told.classes.get(&step.address).map(|class| class.as_str())),
            ("msb.result", Some(result)),
            ("msb.error.code", code),
        ];
        let texts = texts.into_iter().filter_map(|(key, value)| Some(attribute(key, value?)));
        let address = attribute("msb.address", &step.address.to_string());
        let before = step.after.iter().filter_map(|edge| told.steps.get(&edge.step));
        let links =
            before.map(|(number, _)| Link { trace_id: self.id(), span_id: self.span_id(*number) });
        Span {
            attributes: texts.chain([address]).collect(),
            links: links.collect(),
            status: code.map(|code| Outcome { message: code.to_owned(), code: 2 }),
            ..Span::default()
        }
    }

    /// Adds a span with its number, below another one.
    fn add(&self, told: &mut Told, span: Span, (number, above): (u64, u64), times: (u64, u64)) {
        if told.spans.len() + 1 >= SPANS_MAX {
            told.left_out += 1;
            return;
        }
        let Span { name, attributes, links, status, .. } = span;
        let bare = self.span((number, above), times);
        told.spans.push(Span { name, attributes, links, status, ..bare });
    }

    fn span(&self, (number, above): (u64, u64), (from_ms, to_ms): (u64, u64)) -> Span {
        Span {
            trace_id: self.id(),
            span_id: self.span_id(number),
            parent_span_id: self.span_id(above),
            kind: INTERNAL,
            start_time_unix_nano: from_ms.saturating_mul(1_000_000),
            end_time_unix_nano: to_ms.max(from_ms).saturating_mul(1_000_000),
            ..Span::default()
        }
    }

    fn id(&self) -> Bytes {
        Bytes::copy_from_slice(&self.trace)
    }

    fn span_id(&self, number: u64) -> Bytes {
        Bytes::copy_from_slice(&(self.first + number).to_be_bytes())
    }
}

impl Told {
    fn number(&mut self) -> u64 {
        let number = self.numbered;
        self.numbered += 1;
        number
    }
}

#[cfg(test)]
mod tests;
