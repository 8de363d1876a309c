//! Matches and targets of iptables in rules of `iptables-nft`, whose data are the kernel's structures.

use teredo_nft::{Verdict, Xt};

use super::evaluate::Effect;
use super::packet::{ESTABLISHED, NEW, Packet, TCP, Truth, UDP, UNTRACKED};

/// Whether the match holds.
pub(super) fn matches(found: &Xt, packet: &Packet) -> Truth {
    let truth = match (found.name.as_str(), found.revision) {
        ("comment", _) => Some(Truth::Yes),
        ("conntrack", 1..=3) => conntrack(&found.data, packet),
        ("state", 0) => number(&found.data, 0).map(|mask| state(mask, packet).into()),
        ("addrtype", 1) => address_type(&found.data, packet),
        ("multiport", 1) => multiport(&found.data, packet),
        ("udp", 0) => ports(&found.data, packet, UDP),
        ("tcp", 0) if packet.protocol != TCP => Some(Truth::No),
        ("icmp6" | "icmp", 0) => icmp(&found.data, packet),
        ("mark", 1) => mark(&found.data, packet),
        ("pkttype", 0) => packet_type(&found.data, packet),
        _ => None,
    };
    truth.unwrap_or(Truth::Unknown)
}

/// The effect of the target. A target that is not known may do anything.
pub(super) fn target(target: &Xt) -> (Truth, Option<Effect>) {
    match target.name.as_str() {
        "REJECT" | "TARPIT" | "DROP" => (Truth::Yes, Some(Effect::Verdict(Verdict::Drop))),
        "ACCEPT" => (Truth::Yes, Some(Effect::Verdict(Verdict::Accept))),
        "NOTRACK" => (Truth::Yes, Some(Effect::Untrack)),
        // XT_CT_NOTRACK
        "CT" if target.data.first().is_some_and(|flags| flags & 1 != 0) => {
            (Truth::Yes, Some(Effect::Untrack))
        }
        "DNAT" | "REDIRECT" => (Truth::Yes, Some(Effect::Redirect)),
        "NFQUEUE" => (Truth::Yes, Some(Effect::Queue)),
        _ => (Truth::Yes, None),
    }
}

/// `struct xt_conntrack_mtinfo3`: eight addresses and masks, two times and five ports come before the flags.
fn conntrack(data: &[u8], packet: &Packet) -> Option<Truth> {
    const MATCH_FLAGS: usize = 146;
    const STATE: u16 = 1;
    let short = |offset| {
        let bytes = data.get(offset..offset + 2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?))
    };
    let flags = short(MATCH_FLAGS)?;
    let inverted = short(MATCH_FLAGS + 2)? & STATE != 0;
    let mask = short(MATCH_FLAGS + 4)?;
    if flags & STATE == 0 {
        return Some(Truth::Unknown);
    }
    let holds = Truth::from(state(mask.into(), packet)).xor(inverted);
    let rest = if flags == STATE {
        Truth::Yes
    } else {
        Truth::Unknown
    };
    Some(holds.and(rest))
}

/// Whether the state is one of `mask`, in which iptables has its own bit for untracked packets.
pub(super) fn state(mask: u32, packet: &Packet) -> bool {
    const UNTRACKED_BIT: u32 = 1 << 8;
    let bit = match packet.state {
        UNTRACKED => UNTRACKED_BIT,
        state @ (ESTABLISHED | NEW) => state,
        other => other,
    };
    mask & bit != 0
}

/// `struct xt_addrtype_info_v1`.
fn address_type(data: &[u8], packet: &Packet) -> Option<Truth> {
    const INVERT_SOURCE: u32 = 1;
    const INVERT_DESTINATION: u32 = 2;
    let short = |offset| {
        let bytes: &[u8] = data.get(offset..offset + 2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?))
    };
    let (source, destination, flags) = (short(0)?, short(2)?, number(data, 4)?);
    // RTN_UNICAST, RTN_LOCAL, RTN_MULTICAST.
    let (from, to) = match (packet.arrives(), packet.is_multicast()) {
        (true, true) => (1, 5),
        (true, false) => (1, 2),
        (false, true) => (2, 5),
        (false, false) => (2, 1),
    };
    let holds = |mask: u16, kind: u16, inverted: u32| {
        if mask == 0 {
            return Truth::Yes;
        }
        Truth::from(mask & (1 << kind) != 0).xor(flags & inverted != 0)
    };
    Some(holds(source, from, INVERT_SOURCE).and(holds(destination, to, INVERT_DESTINATION)))
}

/// `struct xt_multiport_v1`.
fn multiport(data: &[u8], packet: &Packet) -> Option<Truth> {
    const MOST: usize = 15;
    let (kind, count) = (*data.first()?, usize::from(*data.get(1)?));
    let port = |index: usize| {
        let start = 2 + 2 * index;
        let bytes = data.get(start..start + 2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?))
    };
    let begins_range = |index: usize| {
        data.get(2 + 2 * MOST + index)
            .is_some_and(|flag| *flag != 0)
    };
    let inverted = *data.get(2 + 3 * MOST)? != 0;
    let Some((source, destination)) = packet.ports else {
        return Some(Truth::No);
    };
    let one_of = |wanted: u16| {
        let mut index = 0;
        while index < count.min(MOST) {
            let first = port(index)?;
            let last = if begins_range(index) {
                index += 1;
                port(index)?
            } else {
                first
            };
            if (first..=last).contains(&wanted) {
                return Some(true);
            }
            index += 1;
        }
        Some(false)
    };
    let holds = match kind {
        0 => one_of(source)?,
        1 => one_of(destination)?,
        _ => one_of(source)? || one_of(destination)?,
    };
    Some(Truth::from(holds).xor(inverted))
}

/// `struct xt_udp`.
fn ports(data: &[u8], packet: &Packet, protocol: u8) -> Option<Truth> {
    if packet.protocol != protocol {
        return Some(Truth::No);
    }
    let short = |index: usize| {
        let bytes = data.get(2 * index..2 * index + 2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?))
    };
    let flags = *data.get(8)?;
    let (source, destination) = packet.ports?;
    let holds = |first: usize, port: u16, inverted: u8| {
        let range = short(first)?..=short(first + 1)?;
        Some(Truth::from(range.contains(&port)).xor(flags & inverted != 0))
    };
    Some(holds(0, source, 1)?.and(holds(2, destination, 2)?))
}

/// `struct ip6t_icmp`, and `struct ipt_icmp`.
fn icmp(data: &[u8], packet: &Packet) -> Option<Truth> {
    let Some(kind) = packet.icmp_type else {
        return Some(Truth::No);
    };
    let (wanted, inverted) = (*data.first()?, *data.get(3)?);
    Some(Truth::from(wanted == 0xff || wanted == kind).xor(inverted & 1 != 0))
}

/// `struct xt_mark_mtinfo1`.
fn mark(data: &[u8], packet: &Packet) -> Option<Truth> {
    let (wanted, mask, inverted) = (number(data, 0)?, number(data, 4)?, *data.get(8)?);
    let own = packet.mark?;
    Some(Truth::from(own & mask == wanted).xor(inverted & 1 != 0))
}

/// `struct xt_pkttype_info`.
fn packet_type(data: &[u8], packet: &Packet) -> Option<Truth> {
    let (wanted, inverted) = (number(data, 0)?, number(data, 4)?);
    let kind = if packet.is_multicast() { 2 } else { 0 };
    packet
        .arrives()
        .then(|| Truth::from(wanted == kind).xor(inverted != 0))
}

fn number(data: &[u8], offset: usize) -> Option<u32> {
    let bytes = data.get(offset..offset + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
