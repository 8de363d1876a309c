//! The requests for ports that a client sends to its router: PCP's MAP messages (RFC 6887).

use std::net::Ipv4Addr;

/// The UDP port of a router's PCP server (RFC 6887 §19.1).
pub(super) const PCP_PORT: u16 = 5351;
/// RFC 6887 §7: the version, and the operation MAP with the bit that marks a response.
const VERSION: u8 = 2;
const MAP: u8 = 1;
const RESPONSE: u8 = 0x80;
/// RFC 6887 §7.1, §11.1: the header, and the opcode's data.
const HEADER: usize = 24;
const LENGTH: usize = HEADER + 36;

/// A MAP message in a few words; `None` of any other datagram.
pub(super) fn words(payload: &[u8]) -> Option<String> {
    let message = payload.get(..LENGTH)?;
    let (header, map) = message.split_at(HEADER);
    let word = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
    let lifetime = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let [inside, outside] = [word(&map[16..18]), word(&map[18..20])];
    // An IPv4-mapped address (RFC 6887 §5).
    let external = Ipv4Addr::new(map[32], map[33], map[34], map[35]);
    if header[0] != VERSION {
        return None;
    }
    match (header[1], header[3], lifetime) {
        (MAP, _, 0) => Some(format!("PCP: take port {inside} back")),
        (MAP, _, _) => Some(format!("PCP: open a port for {inside}")),
        (op, 0, 0) if op == MAP | RESPONSE => Some(format!("PCP: port {inside} is taken back")),
        (op, 0, _) if op == MAP | RESPONSE => {
            Some(format!("PCP: {external}:{outside} is open to all"))
        }
        // RFC 6887 §7.4
        (op, code, _) if op == MAP | RESPONSE => Some(format!("PCP: refused, code {code}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
