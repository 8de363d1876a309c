//! Chains in the kernel, as far as programs compare and judge them.

use netlink_packet_netfilter::nftables::{self, ChainAttribute, ChainMessage};

use crate::{Family, Hook, Policy};

/// A chain in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainInfo {
    /// The name of its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where it is called, if it is a base chain of a hook for IP packets.
    pub base: Option<BaseInfo>,
    /// Where it is called, if it is a base chain of a device: of the family `netdev`, or `inet` at the hook `ingress`.
    pub device: Option<DeviceInfo>,
    /// Whether it is of the type `nat`: only the first packet of each connection meets it.
    pub translates: bool,
}

/// Where a base chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BaseInfo {
    /// The hook.
    pub hook: Hook,
    /// The order among the chains of the hook.
    pub priority: i32,
    /// The verdict on packets that no rule decides on.
    pub policy: Policy,
}

/// Where a base chain of devices is called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Whether it sees what leaves, and not what arrives.
    pub egress: bool,
    /// The devices.
    pub names: Vec<String>,
    /// The order among the chains of the hook.
    pub priority: i32,
    /// The verdict on packets that no rule decides on.
    pub policy: Policy,
}

impl ChainInfo {
    pub(crate) fn new(family: Family, message: &ChainMessage) -> Self {
        let (mut table, mut name) = (String::new(), String::new());
        let (mut number, mut priority, mut policy) = (None, 0, Policy::Accept);
        let (mut names, mut translates) = (Vec::new(), false);
        for attribute in &message.attributes {
            match attribute {
                ChainAttribute::Table(value) => table.clone_from(value),
                ChainAttribute::Name(value) => name.clone_from(value),
                ChainAttribute::Policy(0) => policy = Policy::Drop,
                ChainAttribute::Type(kind) => translates = kind == "nat",
                ChainAttribute::Hook(values) => {
                    for value in values {
                        match value {
                            nftables::Hook::Number(value) => number = Some(u32::from(*value)),
                            nftables::Hook::Priority(value) => priority = value.cast_signed(),
                            nftables::Hook::NetDeviceName(name) => names.push(name.clone()),
                            nftables::Hook::NetDevices(list) => names.extend(list.iter().map(text)),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let of_device = family == Family::Netdev || number == Some(INET_INGRESS);
        let device = number.filter(|_| of_device).map(|number| DeviceInfo {
            egress: number == NETDEV_EGRESS,
            names,
            priority,
            policy,
        });
        let hook = number.filter(|_| !of_device).and_then(Hook::from_number);
        let base = hook.map(|hook| BaseInfo {
            hook,
            priority,
            policy,
        });
        Self {
            table,
            name,
            base,
            device,
            translates,
        }
    }
}

// linux/netfilter.h
const INET_INGRESS: u32 = 5;
const NETDEV_EGRESS: u32 = 1;

fn text(attribute: &netlink_packet_core::DefaultNla) -> String {
    use netlink_packet_core::Nla as _;
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    let end = value.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}
