//! From bytes to questions and answers. Whatever the bytes are, the work is bounded by their number.

use super::name::{NAME_BYTES_MAX, Name};
use super::record::{Code, Data, Kind, Record, Service, Soa};

/// Bytes of a question that are read; a longer one is malformed.
const QUERY_BYTES_MAX: usize = 4096;

/// Records of an answer, or of what stands behind it; more are taken for malformed.
const RECORDS_MAX: u16 = 256;

/// Pointers that are followed for one name.
const HOPS_MAX: usize = 64;

/// Bytes of the head of a message.
pub(super) const HEAD_BYTES: usize = 12;

/// That a message is an answer.
pub(super) const IS_ANSWER: u16 = 1 << 15;
/// That more was to be said than went in.
pub(super) const IS_CUT: u16 = 1 << 9;
/// That the asker wants the whole way gone for it.
pub(super) const WANTS_ALL: u16 = 1 << 8;
/// That the whole way is gone.
pub(super) const GOES_ALL: u16 = 1 << 7;
/// That the asker checks signatures itself.
pub(super) const CHECKS: u16 = 1 << 4;
/// What is done; 0 is a question.
const OPERATION: u16 = 0xf << 11;

/// The class of the internet.
pub(super) const CLASS_IN: u16 = 1;

/// A name, and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The name, in the case in which it was asked.
    pub(super) name: Name,
    /// What is asked for.
    pub(super) kind: Kind,
}

/// A question as a guest asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// What its answer must repeat.
    pub(super) id: u16,
    /// The flags that its answer repeats.
    pub(super) flags: u16,
    /// The question.
    pub(super) question: Question,
    /// The bytes that the asker takes by UDP, where it says so.
    pub(super) edns: Option<u16>,
}

/// Why a question is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is none, and nothing can be said to it.
    Nothing,
    /// It is answered with no more than this.
    Bad {
        /// Its id.
        id: u16,
        /// Its flags.
        flags: u16,
        /// Why.
        code: Code,
    },
    /// It was understood, but is not answered.
    Refused(Query, Code),
}

/// Reads a question.
pub(super) fn query(message: &[u8]) -> Result<Query, Unread> {
    let mut bytes = Cursor { message, at: 0 };
    let head = bytes.head().filter(|head| head.flags & IS_ANSWER == 0);
    let Some(Head { id, flags, counts }) = head else { return Err(Unread::Nothing) };
    let bad = |code| Unread::Bad { id, flags, code };
    if flags & OPERATION != 0 {
        return Err(bad(Code::NOT_IMP));
    }
    let [1, 0, 0, more @ 0..=2] = counts else { return Err(bad(Code::FORM_ERR)) };
    if message.len() > QUERY_BYTES_MAX {
        return Err(bad(Code::FORM_ERR));
    }
    let (question, class) = bytes.question().ok_or_else(|| bad(Code::FORM_ERR))?;
    let (mut edns, mut version) = (None, 0);
    for _ in 0..more {
        let head = bytes.record_head().ok_or_else(|| bad(Code::FORM_ERR))?;
        bytes.take(head.length).ok_or_else(|| bad(Code::FORM_ERR))?;
        if head.kind == Kind::OPT {
            if edns.is_some() || head.owner.wire() != [0] {
                return Err(bad(Code::FORM_ERR));
            }
            edns = Some(head.class);
            version = head.ttl >> 16 & 0xff;
        }
    }
    if bytes.at != message.len() {
        return Err(bad(Code::FORM_ERR));
    }
    let query = Query { id, flags, question, edns };
    if version != 0 {
        return Err(Unread::Refused(query, Code::BAD_VERS));
    }
    if class != CLASS_IN {
        return Err(Unread::Refused(query, Code::REFUSED));
    }
    if !query.question.kind.is_asked() {
        return Err(Unread::Refused(query, Code::NOT_IMP));
    }
    Ok(query)
}

/// The head of an answer and the question it repeats: enough to tell whether it is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// The id of the question.
    pub(super) id: u16,
    /// How it ends.
    pub(super) code: Code,
    /// Whether more was to be said.
    pub(super) is_cut: bool,
    /// The question; a server that understood none repeats none.
    pub(super) question: Option<Question>,
    counts: [u16; 2],
    at: usize,
}

/// Reads the head of an answer; `None` where it is none.
pub(super) fn answered(message: &[u8]) -> Option<Answered> {
    let mut bytes = Cursor { message, at: 0 };
    let Head { id, flags, counts } = bytes.head()?;
    if flags & IS_ANSWER == 0 || flags & OPERATION != 0 {
        return None;
    }
    let [questions, answers, authority, _] = counts;
    let question = match questions {
        0 => None,
        1 => Some(bytes.question().filter(|(_, class)| *class == CLASS_IN)?.0),
        _ => return None,
    };
    let (code, is_cut) = (Code(flags & 0xf), flags & IS_CUT != 0);
    Some(Answered { id, code, is_cut, question, counts: [answers, authority], at: bytes.at })
}

/// A record of an answer, and for how many seconds it holds.
pub(super) type Timed = (Record, u32);

/// Reads the records behind the head of an answer: those that answer, and where zones begin.
pub(super) fn records(message: &[u8], head: &Answered) -> Option<(Vec<Timed>, Vec<Timed>)> {
    let mut bytes = Cursor { message, at: head.at };
    let [answers, authority] = head.counts;
    let answers = bytes.records(answers, Kind::is_asked)?;
    let authority = bytes.records(authority, |kind| kind == Kind::SOA)?;
    Some((answers, authority))
}

/// The head of a message.
#[derive(Clone, Copy, Debug)]
struct Head {
    id: u16,
    flags: u16,
    counts: [u16; 4],
}

/// The head of a record.
#[derive(Debug)]
struct RecordHead {
    owner: Name,
    kind: Kind,
    class: u16,
    ttl: u32,
    length: usize,
}

/// Where in a message one is.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(bytes)?;
        let taken = self.message.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn head(&mut self) -> Option<Head> {
        let (id, flags) = (self.u16()?, self.u16()?);
        let counts = [self.u16()?, self.u16()?, self.u16()?, self.u16()?];
        Some(Head { id, flags, counts })
    }

    fn question(&mut self) -> Option<(Question, u16)> {
        // There is nothing before it that a pointer could mean.
        let name = self.name(0)?;
        let kind = Kind(self.u16()?);
        Some((Question { name, kind }, self.u16()?))
    }

    /// Reads a name, following at most so many pointers. Each leads backwards, and a name is 255
    /// bytes at most, so it ends.
    fn name(&mut self, mut hops: usize) -> Option<Name> {
        let mut wire = Vec::with_capacity(32);
        let (mut at, mut end) = (self.at, None);
        loop {
            let length = usize::from(*self.message.get(at)?);
            match length >> 6 {
                0 => {
                    let next = at + 1 + length;
                    wire.extend_from_slice(self.message.get(at..next)?);
                    at = next;
                    if wire.len() > NAME_BYTES_MAX {
                        return None;
                    }
                    if length == 0 {
                        break;
                    }
                }
                3 => {
                    hops = hops.checked_sub(1)?;
                    let low = usize::from(*self.message.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    let target = (length & 0x3f) << 8 | low;
                    if target >= at {
                        return None;
                    }
                    at = target;
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(at);
        Some(Name::of_labels(wire))
    }

    fn lower_name(&mut self) -> Option<Name> {
        self.name(HOPS_MAX).map(|name| name.lowered())
    }

    fn record_head(&mut self) -> Option<RecordHead> {
        let owner = self.lower_name()?;
        let (kind, class, ttl) = (Kind(self.u16()?), self.u16()?, self.u32()?);
        Some(RecordHead { owner, kind, class, ttl, length: self.u16()?.into() })
    }

    fn records(&mut self, count: u16, wanted: impl Fn(Kind) -> bool) -> Option<Vec<Timed>> {
        if count > RECORDS_MAX {
            return None;
        }
        let mut found = Vec::new();
        for _ in 0..count {
            let head = self.record_head()?;
            let mut inner = *self;
            self.take(head.length)?;
            if head.class != CLASS_IN || !wanted(head.kind) {
                continue;
            }
            let data = inner.data(head.kind, self.at)?;
            if inner.at != self.at {
                return None;
            }
            // A number with its highest bit set is taken for 0.
            let ttl = if head.ttl > u32::MAX >> 1 { 0 } else { head.ttl };
            found.push((Record { owner: head.owner, data }, ttl));
        }
        Some(found)
    }

    /// Reads what a record says, which ends at `end`.
    fn data(&mut self, kind: Kind, end: usize) -> Option<Data> {
        Some(match kind {
            Kind::A => Data::A(self.array::<4>()?.into()),
            Kind::AAAA => Data::Aaaa(self.array::<16>()?.into()),
            Kind::NS | Kind::CNAME | Kind::PTR => Data::Name(kind, self.lower_name()?),
            Kind::SOA => Data::Soa(Soa {
                server: self.lower_name()?,
                keeper: self.lower_name()?,
                numbers: [self.u32()?, self.u32()?, self.u32()?, self.u32()?],
                absent_s: self.u32()?,
            }),
            Kind::MX => Data::Behind(kind, self.take(2)?.to_vec(), self.lower_name()?),
            Kind::SRV => Data::Behind(kind, self.take(6)?.to_vec(), self.lower_name()?),
            Kind::NAPTR => {
                let start = self.at;
                self.take(4)?;
                for _ in 0..3 {
                    let [length] = self.array()?;
                    self.take(length.into())?;
                }
                let head = self.message.get(start..self.at)?.to_vec();
                Data::Behind(kind, head, self.lower_name()?)
            }
            Kind::SVCB | Kind::HTTPS => Data::Service(kind, self.service(end)?),
            _ => Data::Plain(kind, self.take(end.checked_sub(self.at)?)?.to_vec()),
        })
    }

    fn service(&mut self, end: usize) -> Option<Service> {
        let (priority, target) = (self.u16()?, self.lower_name()?);
        let mut parameters: Vec<(u16, Vec<u8>)> = Vec::new();
        while self.at < end {
            let (key, length) = (self.u16()?, self.u16()?);
            if parameters.last().is_some_and(|(last, _)| *last >= key) {
                return None;
            }
            let value = self.take(length.into())?;
            let width = match key {
                Service::MANDATORY => 2,
                Service::HINTS_V4 => 4,
                Service::HINTS_V6 => 16,
                _ => 1,
            };
            if !value.len().is_multiple_of(width) {
                return None;
            }
            parameters.push((key, value.to_vec()));
        }
        Some(Service { priority, target, parameters })
    }
}
