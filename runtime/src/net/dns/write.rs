//! From questions and answers to bytes.

use super::name::Name;
use super::read::{
    CHECKS, CLASS_IN, GOES_ALL, HEAD_BYTES, IS_ANSWER, IS_CUT, Query, Question, WANTS_ALL,
};
use super::record::{Code, Data, Kind, Record};

/// Bytes that we take by UDP, and say so: what passes everywhere in one piece.
pub(super) const UDP_BYTES: u16 = 1232;

/// Bytes that a client takes by UDP if it says nothing, and at least.
const UDP_BYTES_LEAST: u16 = 512;

/// Bytes that an answer by UDP has at most, whatever the client says.
const UDP_BYTES_MOST: u16 = 4096;

/// Names that are remembered to be pointed at, and how many ends of each.
const SEEN_MAX: usize = 32;
const ENDS_MAX: usize = 8;

/// Names beyond this place cannot be pointed at.
const POINTED_MAX: usize = 0x3fff;

/// What is answered to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    /// How it ends.
    pub(super) code: Code,
    /// The records that answer.
    pub(super) answers: &'a [Record],
    /// Where the zone begins that has no answer.
    pub(super) soa: Option<&'a Record>,
    /// For how many seconds all of it holds.
    pub(super) ttl_s: u32,
}

/// Writes an answer as its asker can take it: by UDP no longer than it said, by TCP as long as it is.
pub(super) fn reply(query: &Query, reply: &Reply<'_>, by_tcp: bool) -> Vec<u8> {
    let said = query.edns.unwrap_or(UDP_BYTES_LEAST).clamp(UDP_BYTES_LEAST, UDP_BYTES_MOST);
    let most = if by_tcp { u16::MAX } else { said };
    let whole = message(query, reply, 0);
    if whole.len() <= most.into() {
        return whole;
    }
    let nothing = Reply { answers: &[], soa: None, ..*reply };
    message(query, &nothing, IS_CUT)
}

/// Writes the shortest of all answers, to what is no question.
pub(super) fn bad(id: u16, flags: u16, code: Code) -> Vec<u8> {
    let mut out = Writer::default();
    out.u16(id);
    // What was to be done and whether the whole way was wanted.
    out.u16(flags & (0xf << 11 | WANTS_ALL) | IS_ANSWER | GOES_ALL | code.0 & 0xf);
    out.out.resize(HEAD_BYTES, 0);
    out.out
}

/// Writes our own question to a server. Nothing else that the guest said is in it.
pub(super) fn question(id: u16, question: &Question, with_edns: bool) -> Vec<u8> {
    let mut out = Writer::default();
    out.u16(id);
    out.u16(WANTS_ALL);
    out.counts([1, 0, 0, u16::from(with_edns)]);
    out.question(question);
    if with_edns {
        out.edns(Code::NO_ERROR);
    }
    out.out
}

fn message(query: &Query, reply: &Reply<'_>, flags: u16) -> Vec<u8> {
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let mut out = Writer::default();
    out.u16(query.id);
    let repeated = query.flags & (WANTS_ALL | CHECKS);
    out.u16(repeated | IS_ANSWER | GOES_ALL | flags | reply.code.0 & 0xf);
    let (answers, soa) = (count(reply.answers.len()), u16::from(reply.soa.is_some()));
    out.counts([1, answers, soa, u16::from(query.edns.is_some())]);
    out.question(&query.question);
    for record in reply.answers.iter().chain(reply.soa) {
        out.record(record, reply.ttl_s);
    }
    if query.edns.is_some() {
        out.edns(reply.code);
    }
    out.out
}

/// A message that is written.
#[derive(Debug, Default)]
struct Writer {
    out: Vec<u8>,
    /// Ends of names, in lower case, and where they stand.
    seen: Vec<(Vec<u8>, u16)>,
}

impl Writer {
    fn u16(&mut self, value: u16) {
        self.out.extend(value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.out.extend(value.to_be_bytes());
    }

    fn counts(&mut self, counts: [u16; 4]) {
        counts.into_iter().for_each(|count| self.u16(count));
    }

    fn question(&mut self, question: &Question) {
        self.name(&question.name);
        self.u16(question.kind.0);
        self.u16(CLASS_IN);
    }

    /// Writes a name, its end as a pointer where that stood before.
    fn name(&mut self, name: &Name) {
        let mut rest = name.wire();
        for _ in 0..ENDS_MAX {
            let Some((length, behind)) = rest.split_first().filter(|(length, _)| **length > 0)
            else {
                break;
            };
            if let Some((_, at)) = self.seen.iter().find(|(end, _)| end.eq_ignore_ascii_case(rest))
            {
                self.u16(0xc000 | at);
                return;
            }
            if let Ok(at) = u16::try_from(self.out.len())
                && usize::from(at) <= POINTED_MAX
                && self.seen.len() < SEEN_MAX
            {
                self.seen.push((rest.to_vec(), at));
            }
            let (label, after) = behind.split_at(usize::from(*length).min(behind.len()));
            self.out.push(*length);
            self.out.extend_from_slice(label);
            rest = after;
        }
        self.out.extend_from_slice(rest);
    }

    fn record(&mut self, record: &Record, ttl_s: u32) {
        self.name(&record.owner);
        self.u16(record.kind().0);
        self.u16(CLASS_IN);
        self.u32(ttl_s);
        let at = self.out.len();
        self.u16(0);
        self.data(&record.data);
        let length = u16::try_from(self.out.len() - at - 2).unwrap_or(u16::MAX);
        if let Some(place) = self.out.get_mut(at..at + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn data(&mut self, data: &Data) {
        match data {
            Data::A(address) => self.out.extend(address.octets()),
            Data::Aaaa(address) => self.out.extend(address.octets()),
            Data::Name(_, name) => self.name(name),
            Data::Soa(soa) => {
                self.name(&soa.server);
                self.name(&soa.keeper);
                soa.numbers.into_iter().for_each(|number| self.u32(number));
                self.u32(soa.absent_s);
            }
            Data::Behind(Kind::MX, head, name) => {
                self.out.extend_from_slice(head);
                self.name(name);
            }
            // Names of later kinds are written out: a reader may not know that there is one.
            Data::Behind(_, head, name) => {
                self.out.extend_from_slice(head);
                self.out.extend_from_slice(name.wire());
            }
            Data::Service(_, service) => {
                self.u16(service.priority);
                self.out.extend_from_slice(service.target.wire());
                for (key, value) in &service.parameters {
                    self.u16(*key);
                    self.u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
                    self.out.extend_from_slice(value);
                }
            }
            Data::Plain(_, bytes) => self.out.extend_from_slice(bytes),
        }
    }

    /// Writes what EDNS has to say: how much we take, and the upper part of a code.
    fn edns(&mut self, code: Code) {
        self.out.push(0);
        self.u16(Kind::OPT.0);
        self.u16(UDP_BYTES);
        self.u32(u32::from(code.0 >> 4) << 24);
        self.u16(0);
    }
}
