//! The sets of ipset that hold addresses of the link layer. A rule of iptables names a set by a number alone.

use std::collections::HashSet;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};

use crate::expression::text;
use crate::raw::{HEADERS, attributes};
use crate::{Netlink, Xt};

const NFNL_SUBSYS_IPSET: u16 = 6;
/// The least version that the kernel knows is 6.
const PROTOCOL: u8 = 7;

// linux/netfilter/ipset/ip_set.h
const IPSET_CMD_LIST: u16 = 7;
const IPSET_CMD_GET_BYNAME: u16 = 14;
const IPSET_ATTR_PROTOCOL: u16 = 1;
const IPSET_ATTR_SETNAME: u16 = 2;
const IPSET_ATTR_TYPENAME: u16 = 3;
const IPSET_ATTR_FLAGS: u16 = 6;
const IPSET_ATTR_INDEX: u16 = 11;
const IPSET_FLAG_LIST_HEADER: u32 = 1 << 2;

const NFPROTO_IPV4: u8 = 2;

/// The numbers of sets whose members may be addresses of the link layer; `None` if they are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ipsets(Option<HashSet<u16>>);

impl Ipsets {
    /// Asks the kernel. A rule that names a set keeps it and its type: sets are only swapped with those of the same kind. The
    /// members of a `list:set` may change, and be of any type.
    pub(crate) fn read(netlink: &mut Netlink) -> Self {
        Self(read(netlink))
    }

    /// Whether this match, `-m set`, judges by an address of the link layer.
    pub(crate) fn judges(&self, xt: &Xt) -> bool {
        // `struct xt_set_info`, at the beginning of all revisions.
        let number = xt.data.first_chunk().copied().map(u16::from_ne_bytes);
        match (&self.0, number) {
            (Some(sets), Some(number)) => sets.contains(&number),
            _ => true,
        }
    }
}

/// Whether it is the match `-m set`.
pub(crate) fn names_ipset(xt: &Xt) -> bool {
    xt.name == "set"
}

fn read(netlink: &mut Netlink) -> Option<HashSet<u16>> {
    let flags = IPSET_FLAG_LIST_HEADER.to_be_bytes();
    let list = (NLM_F_REQUEST | NLM_F_DUMP, IPSET_CMD_LIST);
    let messages = ask(netlink, list, (IPSET_ATTR_FLAGS, &flags))?;
    let mut sets = HashSet::new();
    for message in messages {
        let find = |wanted| find(&message, wanted);
        let (name, kind) = (find(IPSET_ATTR_SETNAME)?, text(&find(IPSET_ATTR_TYPENAME)?));
        let (method, data) = kind.split_once(':')?;
        if method != "list" && !data.split(',').any(|part| part == "mac") {
            continue;
        }
        let by_name = (NLM_F_REQUEST | NLM_F_ACK, IPSET_CMD_GET_BYNAME);
        let answers = ask(netlink, by_name, (IPSET_ATTR_SETNAME, &name))?;
        let number = self::find(answers.first()?, IPSET_ATTR_INDEX)?;
        sets.insert(u16::from_be_bytes(number.try_into().ok()?));
    }
    Some(sets)
}

/// The attributes of each answer.
fn ask(
    netlink: &mut Netlink,
    (flags, command): (u16, u16),
    (kind, value): (u16, &[u8]),
) -> Option<Vec<Vec<u8>>> {
    let mut body = vec![NFPROTO_IPV4, 0, 0, 0];
    push(&mut body, IPSET_ATTR_PROTOCOL, &[PROTOCOL]);
    push(&mut body, kind, value);
    let mut answers = Vec::new();
    netlink.exchange(NFNL_SUBSYS_IPSET << 8 | command, flags, &body, |message| {
        answers.push(message.get(HEADERS..).unwrap_or_default().to_vec());
    })?;
    Some(answers)
}

fn find(message: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let (_, value) = attributes(message).find(|(kind, _)| *kind == wanted)?;
    Some(value.to_vec())
}

fn push(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    const HEADER: u16 = 4;
    // Names of sets have at most 32 bytes.
    body.extend((HEADER + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
pub(crate) mod tests;
