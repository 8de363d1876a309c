//! nftables by netlink: a thin typed layer over the kernel's protocol.
//!
//! It starts no `nft` process and links no library, so a transaction costs microseconds, and nothing has to be
//! installed. The kernel's own words are kept: a program that knows `nft` knows this crate.
//!
//! - [`Batch`] collects requests, [`Netlink`] carries them out as one atomic transaction and reads tables, sets and
//!   elements back. A refusal names the request that the kernel refused.
//! - [`Rule`] is built from loads, comparisons and verdicts. What has no method of its own is added with
//!   [`Rule::raw`] by its name and attributes, as `linux/netfilter/nf_tables.h` lists them.
//! - [`Set`] makes sets and maps, whose elements may have a timeout and may come from rules.
//! - [`Monitor`] reports what other programs change, as `nft monitor` does.
//!
//! The kernel answers while a request is being sent. Nothing here waits for it, so everything is fit for async code.
//! Only [`Monitor`] needs a tokio runtime.
//!
//! # Example
//!
//! A router that masquerades whatever leaves by `wan0`:
//!
//! ```no_run
//! use teredo_nft::{
//!     Batch, Chain, ChainKind, Family, Hook, Netlink, Rule, TableFlags, TableName,
//! };
//!
//! let nat = TableName::new(Family::Ip, "nat");
//! let mut batch = Batch::new();
//! batch
//!     .add_table(&nat, TableFlags::default())
//!     .add_chain(&nat, &Chain::base("postrouting", ChainKind::Nat, Hook::Postrouting, 100))
//!     .add_rule(&nat, "postrouting", Rule::new().oifname("wan0").counter().masquerade());
//! Netlink::open()?.execute(&batch)?;
//! # Ok::<(), teredo_nft::NftError>(())
//! ```
//!
//! `examples/ports.rs` keeps a set of open ports.
//!
//! # Rights
//!
//! Everything needs `CAP_NET_ADMIN` in the network namespace of the thread that opens the socket. Without it, requests
//! fail with [`NftError::NotPermitted`].
//!
//! # Why another library
//!
//! The messages are those of `netlink-packet-netfilter`. It encodes and decodes them, but has no transactions, dumps or
//! monitor, and no type for the expressions `ct`, `dynset`, `masq` and `nat`: that is what this crate adds. The others
//! did not fit when it was written (2026): `nftables` starts `nft` for each change, which takes milliseconds;
//! `rustables` is under the GPL; `nftnl` links the C library libnftnl, which is too; `netlink-bindings` generates
//! messages from the kernel's descriptions, and leaves the same parts to its user.

#![forbid(unsafe_code)]

mod batch;
mod comment;
mod error;
mod examine;
mod expression;
mod field;
mod ipset;
mod judging;
mod listing;
mod monitor;
mod raw;
mod rule;
mod rule_info;
mod set;
mod sketch;
mod socket;
mod table;
mod transactions;
mod treatment;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod nft_program;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use error::NftError;
pub use examine::{Datagrams, Examination, JudgingRule};
pub use expression::{Expression, VERDICT_REGISTER, Xt};
pub use field::{CtDirection, CtKey, Field, PayloadBase};
pub use listing::{BaseInfo, ChainInfo, DeviceInfo};
pub use monitor::{Change, Monitor};
/// An attribute given by its number and value, for [`Rule::raw`].
pub use netlink_packet_core::DefaultNla as RawAttribute;
/// The key of a `meta` expression, and the operator of a comparison.
pub use netlink_packet_netfilter::nftables::{MetaKey, Operator};
pub use rule::{CtState, CtStatus, Masquerade, Rule, Verdict};
pub use rule_info::{Condition, RuleInfo};
pub use set::{Element, ElementInfo, KeyType, Set, SetInfo};
pub use socket::Netlink;
pub use table::{
    Chain, ChainKind, Family, Hook, Policy, TableFlags, TableInfo, TableName, UnknownFamily,
};
pub use transactions::{RulesetChange, Transactions};
pub use treatment::{Service, UnlikeRule};
