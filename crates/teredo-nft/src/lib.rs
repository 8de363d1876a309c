//! A thin typed layer over nftables' netlink protocol.
//!
//! It speaks to the kernel directly: no `nft` process is started and no library is linked, so that
//! a transaction costs microseconds. [`Netlink`] sends a [`Batch`] as one atomic transaction and
//! reads tables, sets and elements back; [`Watch`] reports what others change.
//!
//! Only what is common has a method of its own. Every other expression is built with [`Rule::raw`]
//! from its name and attributes, as `linux/netfilter/nf_tables.h` lists them.
//!
//! # Example
//!
//! A NAT that masquerades whatever leaves by `wan0`:
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

#![forbid(unsafe_code)]

mod batch;
mod chain;
mod error;
mod rule;
mod set;
mod socket;
mod table;
mod watch;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use chain::{Chain, ChainKind, Hook, Policy};
pub use error::NftError;
/// An attribute given by its number and value, for [`Rule::raw`].
pub use netlink_packet_core::DefaultNla as RawAttribute;
/// The key of a `meta` expression, and the operator of a comparison.
pub use netlink_packet_netfilter::nftables::{MetaKey, Operator};
pub use rule::{CtKey, CtState, PayloadBase, Rule, Verdict};
pub use set::{Element, ElementInfo, KeyType, Set, SetInfo};
pub use socket::Netlink;
pub use table::{Family, TableFlags, TableInfo, TableName, UnknownFamily};
pub use watch::{Change, Watch};
