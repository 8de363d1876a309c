use std::time::Duration;

use rustix::io::Errno;
use teredo_nft::{Batch, Family, Netlink, TableFlags};

use super::{Ruleset, Sides, table};
use crate::namespace::Namespace;
use crate::nat::NatKind;

const SIDES: Sides<'_> = Sides {
    uplink: "uplink",
    lan: "lan",
};

#[test]
fn rules_can_be_replaced_and_a_refusal_does_not_confuse_the_next() {
    let namespace = Namespace::new().unwrap();
    let mut netlink = namespace.run(Netlink::open).unwrap().unwrap();
    for kind in NatKind::ALL {
        for ports in [None, Some(20_000..=20_999)] {
            let lifetime = Duration::from_secs(300);
            let ruleset = Ruleset {
                kind,
                ports,
                lifetime,
            };
            ruleset.install(&mut netlink, SIDES).unwrap();

            // A table that is not there, amid requests that would do.
            let mut batch = Batch::new();
            for _ in 0..2 {
                batch
                    .delete_table(&table())
                    .add_table(&table(), TableFlags::default())
                    .delete_table(&table());
            }
            let error = netlink.execute(&batch).unwrap_err();
            assert_eq!(error.refusal(), Some(Errno::NOENT), "{kind}");
        }
    }
    netlink.flush_conntrack(Family::Ip).unwrap();
}
