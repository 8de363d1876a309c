//! One rule and one packet: whether the rule matches, and its verdict.

use teredo_nft::{Expression, Field, Operator, TableName, VERDICT_REGISTER, Verdict};

use super::packet::{Bytes, Loaded, Packet, Truth, UNTRACKED};
use super::ruleset::{Member, Row, SetContents, Table};
use super::xt;

/// A port that a set is taken to hold, whether or not it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assumed {
    pub(crate) table: TableName,
    pub(crate) set: String,
    pub(crate) port: u16,
}

/// The effect of a rule on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Verdict(Verdict),
    /// It is sent elsewhere.
    Redirect,
    /// A program decides.
    Queue,
    /// It is exempt from connection tracking from here on.
    Untrack,
}

/// Whether `rule` matches, and its effect if it does. A rule that matches may mark the packet.
pub(crate) fn evaluate(
    table: &Table,
    rule: &Row,
    packet: &mut Packet,
    assumed: Option<&Assumed>,
) -> (Truth, Option<Effect>) {
    let mut marked = None;
    let result = run(table, rule, packet, assumed, &mut marked);
    if let Some(mark) = marked {
        packet.mark = mark;
    }
    result
}

fn run(
    table: &Table,
    rule: &Row,
    packet: &Packet,
    assumed: Option<&Assumed>,
    marked: &mut Option<Option<u32>>,
) -> (Truth, Option<Effect>) {
    let mut state = State {
        registers: vec![None; 4 * VERDICT_REGISTER as usize],
        table,
        packet,
        assumed,
    };
    let mut matched = Truth::Yes;
    for expression in &rule.expressions {
        if let Expression::SetMark { register } = expression {
            let bytes: Option<Vec<u8>> = state.get(*register, 4).into_iter().collect();
            let mark = bytes.and_then(|bytes| Some(u32::from_ne_bytes(bytes.try_into().ok()?)));
            *marked = Some(mark.filter(|_| matched == Truth::Yes));
            continue;
        }
        let (truth, effect) = state.step(expression);
        matched = matched.and(truth);
        if matched == Truth::No {
            return (Truth::No, None);
        }
        if effect.is_some() {
            return (matched, effect);
        }
    }
    (matched, None)
}

struct State<'a> {
    registers: Bytes,
    table: &'a Table,
    packet: &'a Packet,
    assumed: Option<&'a Assumed>,
}

impl State<'_> {
    fn step(&mut self, expression: &Expression) -> (Truth, Option<Effect>) {
        let truth = match expression {
            Expression::Load { field, register } => {
                let loaded = match *field {
                    Field::Meta(key) => self.packet.meta(key),
                    Field::Payload {
                        base,
                        offset,
                        length,
                    } => self.packet.payload(base, offset, length),
                    Field::Ct(key) => self.packet.ct(key),
                };
                match loaded {
                    Loaded::Bytes(bytes) => self.put(*register, &bytes),
                    Loaded::Nothing => return (Truth::No, None),
                    Loaded::Unknown => self.put(*register, &[None; 16]),
                }
                Truth::Yes
            }
            Expression::Fib {
                result,
                flags,
                register,
            } => {
                let value = self.fib(*result, *flags);
                self.put(*register, &value);
                Truth::Yes
            }
            Expression::Constant { register, value } => {
                let value: Bytes = value.iter().copied().map(Some).collect();
                self.put(*register, &value);
                Truth::Yes
            }
            Expression::Mask {
                from,
                to,
                mask,
                xor,
            } => {
                let bytes = self.get(*from, mask.len());
                let masked = bytes.iter().zip(mask.iter().zip(xor));
                let masked: Bytes = masked
                    .map(|(byte, (mask, xor))| match (byte, mask) {
                        (_, 0) => Some(*xor),
                        (Some(byte), mask) => Some((byte & mask) ^ xor),
                        (None, _) => None,
                    })
                    .collect();
                self.put(*to, &masked);
                Truth::Yes
            }
            Expression::Compare {
                register,
                operator,
                value,
            } => compare(&self.get(*register, value.len()), *operator, value),
            Expression::Range {
                register,
                inverted,
                from,
                to,
            } => {
                let bytes = self.get(*register, from.len());
                within(&bytes, from, to).xor(*inverted)
            }
            Expression::Lookup {
                register,
                set,
                inverted,
                value,
            } => return self.look_up(*register, set, *inverted, *value),
            Expression::Verdict(verdict) => {
                return (Truth::Yes, Some(Effect::Verdict(verdict.clone())));
            }
            Expression::Reject => return (Truth::Yes, Some(Effect::Verdict(Verdict::Drop))),
            Expression::Neutral(name) if name == "notrack" => {
                return (Truth::Yes, Some(Effect::Untrack));
            }
            Expression::Neutral(_) => Truth::Yes,
            Expression::XtMatch(found) => xt::matches(found, self.packet),
            Expression::XtTarget(target) => return xt::target(target),
            Expression::Other(name) => match name.as_str() {
                "nat" | "redir" => return (Truth::Yes, Some(Effect::Redirect)),
                "queue" => return (Truth::Yes, Some(Effect::Queue)),
                _ => Truth::Unknown,
            },
            _ => Truth::Unknown,
        };
        (truth, None)
    }

    fn put(&mut self, register: u32, bytes: &[Option<u8>]) {
        let start = 4 * register as usize;
        for (to, byte) in self.registers.iter_mut().skip(start).zip(bytes) {
            *to = *byte;
        }
    }

    fn get(&self, register: u32, length: usize) -> Bytes {
        let mut bytes: Bytes = self
            .registers
            .iter()
            .skip(4 * register as usize)
            .copied()
            .take(length)
            .collect();
        bytes.resize(length, None);
        bytes
    }

    /// The routing table leads back to the sender, as it does for packets that get here at all.
    fn fib(&self, result: u32, flags: u32) -> Bytes {
        const SADDR: u32 = 1;
        const PRESENT: u32 = 32;
        const ADDRESS_TYPE: u32 = 3;
        // RTN_UNICAST, RTN_LOCAL, RTN_MULTICAST.
        let kind: u32 = match (flags & SADDR != 0, self.packet.arrives()) {
            _ if result != ADDRESS_TYPE => {
                return if flags & PRESENT != 0 {
                    vec![Some(1), Some(0), Some(0), Some(0)]
                } else {
                    // Some interface: not 0, which stands for none.
                    vec![None; 16]
                };
            }
            (true, true) => 1,
            (true, false) => 2,
            (false, _) if self.packet.is_multicast() => 5,
            (false, true) => 2,
            (false, false) => 1,
        };
        kind.to_ne_bytes().map(Some).to_vec()
    }

    fn look_up(
        &self,
        register: u32,
        name: &str,
        inverted: bool,
        value: Option<u32>,
    ) -> (Truth, Option<Effect>) {
        let Some(set) = self.table.sets.get(name) else {
            return (Truth::Unknown, None);
        };
        let key = self.get(register, set.key.length as usize);
        if let Some(assumed) = self.assumed
            && value.is_none()
            && assumed.table == self.table.name
            && assumed.set == name
            && key == assumed.port.to_be_bytes().map(Some)
        {
            return (Truth::from(!inverted), None);
        }
        let (truth, element) = find(set, &key);
        if value == Some(VERDICT_REGISTER) {
            let verdict = element.and_then(|element| element.verdict.clone());
            return (truth, verdict.map(Effect::Verdict));
        }
        (truth.xor(inverted), None)
    }
}

/// Whether the set has the key, and the element that it has.
fn find<'a>(set: &'a SetContents, key: &[Option<u8>]) -> (Truth, Option<&'a Member>) {
    let mut possible = None;
    let mut default = None;
    for (element, truth) in hits(set, key) {
        match truth {
            Truth::Yes if element.key.is_empty() => default = Some(element),
            Truth::Yes => return (Truth::Yes, Some(element)),
            Truth::Unknown => possible = possible.or(Some(element)),
            Truth::No => {}
        }
    }
    match (possible, default) {
        (None, Some(element)) => (Truth::Yes, Some(element)),
        (Some(element), _) => (Truth::Unknown, Some(element)),
        (None, None) => (Truth::No, None),
    }
}

/// Each element that can be a hit. An element without a key is `*`, which matches whatever no other does.
fn hits<'a>(set: &'a SetContents, key: &[Option<u8>]) -> Vec<(&'a Member, Truth)> {
    let fields = fields(set.key.id, key.len());
    if !set.intervals || set.elements.iter().any(|element| element.key_end.is_some()) {
        let elements = set.elements.iter();
        return elements
            .map(|element| (element, hit(element, key, fields.as_deref())))
            .collect();
    }
    // Each range is an element where it begins, and one with a mark where it has ended.
    let mut sorted: Vec<&Member> = set.elements.iter().collect();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    let nexts = sorted.iter().skip(1).map(Some).chain([None]);
    let ranges = sorted.iter().zip(nexts);
    ranges
        .filter(|(element, _)| !element.interval_end)
        .map(|(element, next)| {
            if element.key.is_empty() {
                return (*element, Truth::Yes);
            }
            let from = compare(key, Operator::GreatherThanEqual, &element.key);
            let to = next.map_or(Truth::Yes, |next| {
                compare(key, Operator::LessThan, &next.key)
            });
            (*element, from.and(to))
        })
        .collect()
}

/// Whether a single element, or one with a range in each part, is a hit.
fn hit(element: &Member, key: &[Option<u8>], fields: Option<&[(usize, usize)]>) -> Truth {
    let Some(end) = &element.key_end else {
        return if element.key.is_empty() {
            Truth::Yes
        } else {
            compare(key, Operator::Equal, &element.key)
        };
    };
    let Some(fields) = fields else {
        return Truth::Unknown;
    };
    fields.iter().fold(Truth::Yes, |so_far, &(start, length)| {
        let range = start..start + length;
        let part = |bytes: &[u8]| bytes.get(range.clone()).unwrap_or_default().to_vec();
        let own = key.get(range.clone()).unwrap_or_default();
        so_far.and(within(own, &part(&element.key), &part(end)))
    })
}

/// Where the parts of a concatenation begin, and how long they are, by the numbers that `nft` has for their types.
fn fields(types: u32, length: usize) -> Option<Vec<(usize, usize)>> {
    const BITS: u32 = 6;
    let mut kinds = Vec::new();
    let mut rest = types;
    while rest != 0 {
        kinds.push(rest & ((1 << BITS) - 1));
        rest >>= BITS;
    }
    let mut fields = Vec::new();
    let mut start = 0;
    for kind in kinds.into_iter().rev() {
        let length = match kind {
            // ipv4_addr, mark, iface_index; ipv6_addr; ether_addr; inet_proto; inet_service; ifname.
            7 | 19 | 20 => 4,
            8 => 16,
            9 => 6,
            12 => 1,
            13 => 2,
            41 => 16,
            _ => return None,
        };
        fields.push((start, length));
        start += usize::next_multiple_of(length, 4);
    }
    (start == length).then_some(fields)
}

/// Whether the bytes, as far as they are known, compare with `value` like this.
fn compare(bytes: &[Option<u8>], operator: Operator, value: &[u8]) -> Truth {
    let (mut equal, mut less, mut greater) = (true, false, false);
    let mut certain = true;
    for (byte, value) in bytes.iter().zip(value) {
        match byte {
            None => certain = false,
            Some(byte) if byte == value => {}
            Some(byte) => {
                // The order is that of the first difference, which may be in unknown bytes before this one.
                if certain {
                    (less, greater) = (byte < value, byte > value);
                }
                equal = false;
                break;
            }
        }
    }
    let or_unknown = |holds: bool| match certain {
        true => Truth::from(holds),
        false => Truth::Unknown,
    };
    let equality = match (equal, certain) {
        (false, _) => Truth::No,
        (true, true) => Truth::Yes,
        (true, false) => Truth::Unknown,
    };
    match operator {
        Operator::Equal => equality,
        Operator::NotEqual => equality.xor(true),
        Operator::LessThan => or_unknown(less),
        Operator::LessThanEqual => or_unknown(less || equal),
        Operator::GreaterThan => or_unknown(greater),
        Operator::GreatherThanEqual => or_unknown(greater || equal),
        _ => Truth::Unknown,
    }
}

fn within(bytes: &[Option<u8>], from: &[u8], to: &[u8]) -> Truth {
    compare(bytes, Operator::GreatherThanEqual, from).and(compare(
        bytes,
        Operator::LessThanEqual,
        to,
    ))
}

/// The state of a packet that is no longer tracked.
pub(crate) const AFTER_UNTRACK: u32 = UNTRACKED;

#[cfg(test)]
mod tests;
