use std::time::Duration;

use netlink_packet_netfilter::NetfilterMessageInner;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{Batch, Ruleset, Sides, table};
use crate::namespace::Namespace;
use crate::nat::NatKind;
use crate::netlink::Netlink;

const SIDES: Sides<'_> = Sides {
    uplink: "uplink",
    lan: "lan",
};

#[test]
fn rules_can_be_replaced_and_a_refusal_does_not_confuse_the_next() {
    let namespace = Namespace::new().unwrap();
    let mut netfilter = namespace
        .run(|| Netlink::open(NETLINK_NETFILTER))
        .unwrap()
        .unwrap();
    for kind in NatKind::ALL {
        for ports in [None, Some(20_000..=20_999)] {
            let lifetime = Duration::from_secs(300);
            let ruleset = Ruleset {
                kind,
                ports,
                lifetime,
            };
            ruleset.install(&mut netfilter, SIDES).unwrap();

            // A table that is not there, amid requests that would do.
            let mut batch = Batch::default();
            for _ in 0..2 {
                batch.push(super::NfTablesMessage::DeleteTable(table()), 0);
                batch.push(super::NfTablesMessage::NewTable(table()), 0);
                batch.push(super::NfTablesMessage::DeleteTable(table()), 0);
            }
            let error = netfilter.batch(batch.finish()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{kind}");
        }
    }
    super::flush_conntrack(&mut netfilter).unwrap();
}

#[test]
fn a_batch_is_bracketed() {
    let messages: Vec<_> = Batch::default()
        .finish()
        .map(|request| request.message.inner)
        .collect();
    assert_eq!(
        messages,
        [
            NetfilterMessageInner::None(ControlMessage::BatchBegin),
            NetfilterMessageInner::None(ControlMessage::BatchEnd),
        ]
    );
}
