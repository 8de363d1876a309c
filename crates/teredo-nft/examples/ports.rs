//! Opens UDP ports for a minute, by a rule that looks in a set, and shows what the kernel has.
//!
//! Run it in a network namespace of its own, as root:
//! `cargo build -p teredo-nft --example ports && sudo unshare --net target/debug/examples/ports 4500 4501`

use std::error::Error;
use std::time::Duration;

use teredo_nft::{
    Batch, Chain, ChainKind, Element, Family, Hook, KeyType, Netlink, Policy, Rule, Set,
    TableFlags, TableName,
};

fn main() -> Result<(), Box<dyn Error>> {
    let ports = std::env::args()
        .skip(1)
        .map(|port| port.parse())
        .collect::<Result<Vec<u16>, _>>()?;

    // The kernel removes the table with the socket that owns it, however this program ends.
    let table = TableName::new(Family::Inet, "example");
    let mut netlink = Netlink::open()?;
    let input = Chain::base("input", ChainKind::Filter, Hook::Input, 0).policy(Policy::Drop);
    let open = Rule::new()
        .protocol(17)
        .destination_port()
        .in_set("ports")
        .counter()
        .accept();
    let mut batch = Batch::new();
    batch
        .add_table(&table, TableFlags::OWNER)
        .add_set(
            &table,
            &Set::new("ports", KeyType::INET_SERVICE).with_timeouts(),
        )
        .add_chain(&table, &input)
        .add_rule(&table, "input", open);
    netlink.execute(&batch)?;

    // All of them at once: no packet meets a set with a part of them.
    let minute = Duration::from_secs(60);
    let elements = ports
        .iter()
        .map(|port| Element::port(*port).with_timeout(minute));
    let mut batch = Batch::new();
    batch
        .flush_set(&table, "ports")
        .add_elements(&table, "ports", elements);
    netlink.execute(&batch)?;

    for element in netlink.elements(&table, "ports")?.unwrap_or_default() {
        println!("{:?} expires in {:?}", element.port(), element.expires);
    }
    Ok(())
}
