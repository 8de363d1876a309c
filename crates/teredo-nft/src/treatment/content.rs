//! The content of registers, as far as all datagrams of a service have the same, and what a condition makes of it.

use std::collections::BTreeMap;

use netlink_packet_netfilter::nftables::Operator;

use crate::{ElementInfo, SetInfo, Verdict};

/// `NF_CT_STATE_INVALID_BIT`: no datagram of UDP with right checksums and lengths has it.
const CT_INVALID: u32 = 1;

/// How many of the datagrams meet a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    All,
    Some,
    None,
}

impl Share {
    pub(super) fn of(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, Self::All) => Self::All,
            _ => Self::Some,
        }
    }
}

/// The content of a register, as far as it is the same for all datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Known(Vec<u8>),
    /// The state of the connection, of which these bits are left.
    CtState(u32),
    Any,
}

impl Content {
    fn masked(&self, mask: &[u8], xor: &[u8]) -> Self {
        match self {
            Self::Known(value) if value.len() == mask.len() && value.len() == xor.len() => {
                let bytes = value.iter().zip(mask).zip(xor);
                Self::Known(
                    bytes
                        .map(|((value, mask), xor)| value & mask ^ xor)
                        .collect(),
                )
            }
            Self::CtState(bits) if xor.iter().all(|&byte| byte == 0) => match mask.try_into() {
                Ok(mask) => Self::CtState(bits & u32::from_ne_bytes(mask)),
                Err(_) => Self::Any,
            },
            _ => Self::Any,
        }
    }

    pub(super) fn compare(&self, operator: Operator, value: &[u8]) -> Share {
        match self {
            Self::Known(known) => {
                // A shorter comparison is one of a prefix, and a longer one of more than is known.
                let Some(known) = known.get(..value.len()) else {
                    return Share::Some;
                };
                // The kernel compares bytes, too.
                match operator {
                    Operator::Equal => Share::of(known == value),
                    Operator::NotEqual => Share::of(known != value),
                    Operator::LessThan => Share::of(known < value),
                    Operator::LessThanEqual => Share::of(known <= value),
                    Operator::GreaterThan => Share::of(known > value),
                    Operator::GreatherThanEqual => Share::of(known >= value),
                    _ => Share::Some,
                }
            }
            // `ct state invalid`
            Self::CtState(bits)
                if *bits & !CT_INVALID == 0 && value.iter().all(|&byte| byte == 0) =>
            {
                match operator {
                    Operator::NotEqual => Share::None,
                    Operator::Equal => Share::All,
                    _ => Share::Some,
                }
            }
            Self::CtState(_) | Self::Any => Share::Some,
        }
    }

    pub(super) fn is_within(&self, from: &[u8], to: &[u8], inverted: bool) -> Share {
        match self {
            Self::Known(known) if known.len() == from.len() && known.len() == to.len() => {
                let within = (from..=to).contains(&known.as_slice());
                Share::of(within != inverted)
            }
            _ => Share::Some,
        }
    }

    pub(super) fn is_in(&self, elements: &Elements, inverted: bool) -> Share {
        match self {
            Self::Known(known) => Share::of(elements.find(known).is_some() != inverted),
            _ => Share::Some,
        }
    }

    /// The verdicts of a map that may be met; none if one of them is not known.
    pub(super) fn look_up(&self, elements: &Elements) -> (Share, Option<Vec<Verdict>>) {
        if let Self::Known(known) = self {
            return match elements.find(known) {
                Some(element) => (
                    Share::All,
                    element.verdict.clone().map(|verdict| vec![verdict]),
                ),
                None => (Share::None, Some(Vec::new())),
            };
        }
        let of_invalid = CT_INVALID.to_ne_bytes();
        let cannot_be = |element: &&ElementInfo| match self {
            Self::CtState(_) => element.interval_end || element.key == of_invalid,
            _ => element.interval_end,
        };
        let met = elements.list.iter().filter(|element| !cannot_be(element));
        (
            Share::Some,
            met.map(|element| element.verdict.clone()).collect(),
        )
    }
}

/// The registers of a rule, by the number of the first one of each content.
#[derive(Debug, Default)]
pub(super) struct Registers(BTreeMap<u32, Content>);

impl Registers {
    /// The content that begins at the register.
    pub(super) fn get(&self, register: u32) -> &Content {
        self.0.get(&register).unwrap_or(&Content::Any)
    }

    /// Puts a content into this many registers.
    pub(super) fn set(&mut self, register: u32, count: u32, content: Content) {
        let end = register.saturating_add(count);
        self.0.retain(|&first, other| {
            let len = match other {
                Content::Known(value) => value.len(),
                Content::CtState(_) | Content::Any => 1,
            };
            first >= end || first.saturating_add(registers(len)) <= register
        });
        self.0.insert(register, content);
    }

    /// Computes `(from & mask) ^ xor`.
    pub(super) fn mask(&mut self, from: u32, to: u32, mask: &[u8], xor: &[u8]) {
        let masked = self.get(from).masked(mask, xor);
        self.set(to, registers(mask.len()), masked);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A key of this many bytes: the parts of a concatenation are side by side, each in registers of its own.
    pub(super) fn key(&self, register: u32, length: usize) -> Content {
        let Content::Known(first) = self.get(register) else {
            return self.get(register).clone();
        };
        let mut key = first.clone();
        while key.len().next_multiple_of(4) < length {
            key.resize(key.len().next_multiple_of(4), 0);
            match self.get(register.saturating_add(registers(key.len()))) {
                Content::Known(part) if !part.is_empty() => key.extend_from_slice(part),
                _ => return Content::Any,
            }
        }
        key.resize(length, 0);
        Content::Known(key)
    }
}

/// How many registers of four bytes a value takes.
pub(super) fn registers(len: usize) -> u32 {
    u32::try_from(len.div_ceil(4)).unwrap_or(u32::MAX)
}

/// The elements of a set or map.
#[derive(Debug)]
pub(super) struct Elements {
    /// The length of a key.
    pub(super) length: usize,
    intervals: bool,
    list: Vec<ElementInfo>,
}

impl Elements {
    /// None for ranges of concatenations and for elements with a limit, which are not looked up here.
    pub(super) fn new(info: &SetInfo, mut list: Vec<ElementInfo>) -> Option<Self> {
        let length = usize::try_from(info.key.length).ok()?;
        let is_unknown = |element: &ElementInfo| element.key_end.is_some() || element.conditional;
        if info.concatenation || list.iter().any(is_unknown) {
            return None;
        }
        for element in &mut list {
            // The kernel may pad a key. One without a key is the catchall element.
            if !element.key.is_empty() {
                element.key.resize(length, 0);
            }
        }
        Some(Self {
            length,
            intervals: info.intervals,
            list,
        })
    }

    /// The element that a key of the right length meets.
    fn find(&self, key: &[u8]) -> Option<&ElementInfo> {
        let mut with_key = self.list.iter().filter(|element| !element.key.is_empty());
        let found = if self.intervals {
            // Each range lasts until the next element. An end and a beginning at one place are a beginning.
            with_key
                .filter(|element| element.key.as_slice() <= key)
                .max_by_key(|element| (&element.key, !element.interval_end))
                .filter(|element| !element.interval_end)
        } else {
            with_key.find(|element| element.key == key)
        };
        found.or_else(|| self.list.iter().find(|element| element.key.is_empty()))
    }
}
