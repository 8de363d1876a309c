//! Transactions of nftables as they are announced, and whether they change what a packet meets.
//!
//! The kernel announces each object of a transaction, and its end (`NFT_MSG_NEWGEN`). A transaction that only deletes
//! elements of sets and adds the same again renews their timeouts, as the firewall agent does every 5 s: it changes nothing.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::batch::NFNL_SUBSYS_NFTABLES;
use crate::ipset::names_ipset;
use crate::judging::{judges_packets, judges_packets_at_egress};
use crate::monitor::{NFNLGRP_NFTABLES, NFT_MSG_NEWGEN};
use crate::raw::{self, HEADERS, attributes};
use crate::socket::{RECEIVE_BUFFER, messages};
use crate::{Expression, NftError, VERDICT_REGISTER, Verdict};

/// A socket that hears of every transaction in the network namespace of the thread that opened it.
///
/// It never waits, so it belongs into a `poll` of its descriptor.
#[derive(Debug)]
pub struct Transactions {
    socket: Socket,
    buffer: Box<[u8]>,
    open: Open,
}

/// The effect of transactions, from the least to the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RulesetChange {
    /// Elements of sets were replaced by equal ones.
    Renewal,
    /// Packets may meet other rules than before. No new rule, set or element judges single packets or leads to a chain.
    Plain,
    /// Rules that judge single packets may be among the new ones, or may be met now.
    Doubtful,
}

impl Transactions {
    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// [`NftError::NotPermitted`], [`NftError::Socket`].
    pub fn open() -> Result<Self, NftError> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(NftError::socket("open"))?;
        socket
            .bind(&SocketAddr::new(0, 0))
            .map_err(NftError::socket("bind"))?;
        socket
            .add_membership(NFNLGRP_NFTABLES)
            .map_err(NftError::socket("join nftables' group with"))?;
        Ok(Self {
            socket,
            buffer: vec![0; RECEIVE_BUFFER].into_boxed_slice(),
            open: Open::default(),
        })
    }

    /// Reads all announcements that are there, and returns the greatest change; none if no transaction has ended. A lost
    /// announcement (`ENOBUFS`) is [`RulesetChange::Doubtful`].
    ///
    /// # Errors
    ///
    /// [`NftError::Socket`].
    pub fn read(&mut self) -> Result<Option<RulesetChange>, NftError> {
        let mut greatest = None;
        loop {
            match recv(
                self.socket.as_fd(),
                &mut self.buffer[..],
                RecvFlags::DONTWAIT,
            ) {
                Err(Errno::AGAIN) => return Ok(greatest),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => {
                    self.open = Open::default();
                    greatest = Some(RulesetChange::Doubtful);
                }
                Err(errno) => {
                    return Err(NftError::Socket {
                        operation: "read from",
                        errno,
                    });
                }
                Ok((length, _)) => {
                    for message in messages(&self.buffer[..length]) {
                        let change = match message {
                            Ok(message) => self.open.hear(message),
                            Err(_) => Some(RulesetChange::Doubtful),
                        };
                        greatest = greatest.max(change);
                    }
                }
            }
        }
    }
}

impl AsFd for Transactions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The most elements of one transaction that are compared. An agent renews a port, its random ports and a few marks.
const MOST_ELEMENTS: usize = 4096;

const NFPROTO_NETDEV: u8 = 5;
const NFPROTO_BRIDGE: u8 = 7;

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_NEWSET: u16 = 9;
const NFT_MSG_NEWSETELEM: u16 = 12;
const NFT_MSG_DELSETELEM: u16 = 14;

// linux/netfilter/nf_tables.h
const NFTA_SET_EXPR: u16 = 17;
const NFTA_SET_EXPRESSIONS: u16 = 18;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
const NFTA_SET_ELEM_EXPR: u16 = 7;
const NFTA_SET_ELEM_OBJREF: u16 = 9;
const NFTA_SET_ELEM_EXPRESSIONS: u16 = 11;
const NFTA_DATA_VERDICT: u16 = 2;

/// A transaction whose end was not announced yet.
#[derive(Debug, Default)]
struct Open {
    change: Option<RulesetChange>,
    /// Elements that were deleted and not added again: the attributes of the set, and those of the element without times.
    deleted: HashSet<(Vec<u8>, Vec<u8>)>,
}

impl Open {
    /// Takes a message, and returns the effect of the transaction if the message is its end.
    fn hear(&mut self, message: &[u8]) -> Option<RulesetChange> {
        let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
        if kind >> 8 != u16::from(NFNL_SUBSYS_NFTABLES) {
            return None;
        }
        let (&family, body) = (message.get(16)?, message.get(HEADERS..)?);
        match kind & 0xff {
            NFT_MSG_NEWGEN => {
                let Self { change, deleted } = std::mem::take(self);
                return Some(match change {
                    Some(change) if deleted.is_empty() => change,
                    Some(change) => change.max(RulesetChange::Plain),
                    // Without a word of its contents.
                    None => RulesetChange::Doubtful,
                });
            }
            NFT_MSG_DELSETELEM => self.delete(family, body),
            NFT_MSG_NEWSETELEM => self.add(family, body),
            NFT_MSG_NEWRULE => self.note(match leads_or_judges(family, message) {
                true => RulesetChange::Doubtful,
                false => RulesetChange::Plain,
            }),
            NFT_MSG_NEWSET => self.note(match has(body, &[NFTA_SET_EXPR, NFTA_SET_EXPRESSIONS]) {
                true => RulesetChange::Doubtful,
                false => RulesetChange::Plain,
            }),
            // A dormant table may have woken.
            NFT_MSG_NEWTABLE => self.note(RulesetChange::Doubtful),
            _ => self.note(RulesetChange::Plain),
        }
        None
    }

    fn note(&mut self, change: RulesetChange) {
        self.change = self.change.max(Some(change));
    }

    fn delete(&mut self, family: u8, body: &[u8]) {
        let (set, elements) = split(family, body);
        for element in elements {
            if self.deleted.len() >= MOST_ELEMENTS {
                self.note(RulesetChange::Plain);
                return;
            }
            self.note(RulesetChange::Renewal);
            self.deleted.insert((set.clone(), timeless(element)));
        }
    }

    fn add(&mut self, family: u8, body: &[u8]) {
        let (set, elements) = split(family, body);
        for element in elements {
            let conditions = [
                NFTA_SET_ELEM_EXPR,
                NFTA_SET_ELEM_EXPRESSIONS,
                NFTA_SET_ELEM_OBJREF,
            ];
            let change = if self.deleted.remove(&(set.clone(), timeless(element))) {
                RulesetChange::Renewal
            } else if has(element, &conditions) || has_verdict(element) {
                RulesetChange::Doubtful
            } else {
                RulesetChange::Plain
            };
            self.note(change);
        }
    }
}

/// The attributes of the set with the family of its table, and the elements.
fn split(family: u8, bytes: &[u8]) -> (Vec<u8>, Vec<&[u8]>) {
    let (mut set, mut elements) = (vec![family], Vec::new());
    for (kind, value) in attributes(bytes) {
        if kind == NFTA_SET_ELEM_LIST_ELEMENTS {
            elements.extend(attributes(value).map(|(_, element)| element));
        } else {
            push(&mut set, kind, value);
        }
    }
    (set, elements)
}

/// The attributes of an element, without its times.
fn timeless(element: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(element.len());
    for (kind, value) in attributes(element) {
        if kind != NFTA_SET_ELEM_TIMEOUT && kind != NFTA_SET_ELEM_EXPIRATION {
            push(&mut kept, kind, value);
        }
    }
    kept
}

fn push(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value.len().to_ne_bytes());
    bytes.extend(value);
}

fn has(bytes: &[u8], kinds: &[u16]) -> bool {
    attributes(bytes).any(|(kind, _)| kinds.contains(&kind))
}

/// Whether the element of a map has a verdict, which may lead to a chain.
fn has_verdict(element: &[u8]) -> bool {
    attributes(element)
        .any(|(kind, value)| kind == NFTA_SET_ELEM_DATA && has(value, &[NFTA_DATA_VERDICT]))
}

/// Whether a new rule judges single packets, or leads to a chain with rules that may do so.
fn leads_or_judges(family: u8, message: &[u8]) -> bool {
    // Its chain may be one at the egress of a device, or in the output of a bridge.
    let judges = match family {
        NFPROTO_NETDEV | NFPROTO_BRIDGE => judges_packets_at_egress,
        _ => judges_packets,
    };
    let Some((_, _, expressions)) = raw::rule(message) else {
        return true;
    };
    let mut expressions = expressions.as_slice();
    while let [first, rest @ ..] = expressions {
        let leads = matches!(
            first,
            Expression::Verdict(Verdict::Jump(_) | Verdict::Goto(_))
                | Expression::Lookup {
                    value: Some(VERDICT_REGISTER),
                    ..
                }
        );
        // Its set may hold addresses of the link.
        let names = matches!(first, Expression::XtMatch(xt) if names_ipset(xt));
        if leads || names || judges(first, rest).is_some() {
            return true;
        }
        expressions = rest;
    }
    false
}

#[cfg(test)]
mod tests;
