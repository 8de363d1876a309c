use std::collections::HashMap;

use rtnetlink::{LinkBridge, LinkUnspec, LinkVeth};

use super::*;
use crate::Tun;
use crate::netns::{index, isolated, netlink};

/// A link as the kernel would describe it.
fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = attributes;
    link
}

fn on_bus(bus: &str) -> Vec<LinkAttribute> {
    vec![LinkAttribute::ParentDevBusName(bus.to_owned())]
}

fn of_kind(kind: InfoKind) -> Vec<LinkAttribute> {
    vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])]
}

fn vlan_on(index: u32) -> Vec<LinkAttribute> {
    let mut attributes = of_kind(InfoKind::Vlan);
    attributes.push(LinkAttribute::Link(index));
    attributes
}

fn judge(link: &LinkMessage, host: &HashMap<Below, Vec<LinkMessage>>) -> bool {
    let mut ask = |below| Ok(host.get(&below).cloned().unwrap_or_default());
    is_physical(link, &mut ask, DEEPEST).unwrap()
}

#[test]
fn a_device_on_a_bus_is_physical_unless_a_hypervisor_plays_it() {
    let host = HashMap::new();
    for (bus, physical) in [
        ("pci", true),
        ("usb", true),
        ("platform", true),
        ("virtio", false),
        ("xen", false),
        ("vmbus", false),
    ] {
        assert_eq!(judge(&link(2, on_bus(bus)), &host), physical, "{bus}");
    }
    for kind in [InfoKind::Veth, InfoKind::MacVlan, InfoKind::Dummy] {
        assert!(!judge(&link(2, of_kind(kind)), &host));
    }
    assert!(!judge(&link(1, Vec::new()), &host), "the loopback");
}

#[test]
fn what_lies_on_top_is_as_what_lies_below() {
    let (hardware, virtio) = (link(2, on_bus("pci")), link(3, on_bus("virtio")));
    let bond = link(4, of_kind(InfoKind::Bond));
    let host = HashMap::from([
        (Below::Index(2), vec![hardware.clone()]),
        (Below::Index(3), vec![virtio.clone()]),
        (Below::Index(4), vec![bond.clone()]),
        (Below::Members(4), vec![hardware.clone(), hardware.clone()]),
        (Below::Members(5), vec![hardware, virtio]),
        (Below::Members(6), Vec::new()),
    ]);
    assert!(judge(&link(9, vlan_on(2)), &host));
    assert!(!judge(&link(9, vlan_on(3)), &host));
    assert!(judge(&bond, &host));
    assert!(judge(&link(9, vlan_on(4)), &host), "a VLAN on a bond");
    assert!(!judge(&link(5, of_kind(InfoKind::Bridge)), &host), "mixed");
    assert!(!judge(&link(6, of_kind(InfoKind::Team)), &host), "empty");
    // Its index is that of another namespace.
    let mut moved = vlan_on(2);
    moved.push(LinkAttribute::LinkNetNsId(0));
    assert!(!judge(&link(9, moved), &host));
}

/// The kernel makes no such ring.
#[test]
fn a_ring_of_interfaces_ends() {
    let ring = link(2, vlan_on(2));
    let host = HashMap::from([(Below::Index(2), vec![ring.clone()])]);
    assert!(!judge(&ring, &host));
}

#[test]
fn the_interfaces_of_a_namespace_are_virtual() {
    isolated(|| {
        let _tun = Tun::open(Some("teredo")).unwrap();
        netlink(async |handle| {
            let veth = LinkVeth::new("near", "far").build();
            handle.link().add(veth).execute().await.unwrap();
            let bridge = LinkBridge::new("bridge").build();
            handle.link().add(bridge).execute().await.unwrap();
            let bridge = index(&handle, "bridge").await.unwrap();
            let member = LinkUnspec::new_with_name("near").controller(bridge).build();
            handle.link().change(member).execute().await.unwrap();
        });
        for name in ["lo", "near", "far", "bridge", "teredo"] {
            assert!(is_virtual(name).unwrap(), "{name}");
        }
        let error = is_virtual("absent").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        let mut links = Links::open().unwrap();
        let bridge = netlink(async |handle| index(&handle, "bridge").await).unwrap();
        let members = links.below(Below::Members(bridge)).unwrap();
        let near = netlink(async |handle| index(&handle, "near").await).unwrap();
        let indices: Vec<_> = members.iter().map(|link| link.header.index).collect();
        assert_eq!(indices, [near], "and no other link");
    });
}
