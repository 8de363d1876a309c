//! The lab's internet in three lines.
//!
//! ```text
//!   alice 192.168.1.2 ── NAT 100.64.1.2 ── NAT 198.51.100.1 to .4 ──┐
//!                                                                   ├── server 192.0.2.45, 192.0.2.46
//!   bob 203.0.113.1 ────────────────────────────────────────────────┘
//! ```

use std::net::Ipv4Addr;

use teredo_lab::{HomeNat, NatKind};

use super::Nats;
use super::network::SERVER;

/// The three lines.
pub(super) fn lines(nats: Nats) -> [String; 3] {
    let [mut alice, mut bob] = [
        ("alice", 1, nats.alice, nats.alice_public()),
        ("bob", 2, nats.bob, nats.bob_public()),
    ]
    .map(|(name, home, nat, public)| way(name, home, nat, public));
    let width = alice.chars().count().max(bob.chars().count());
    for way in [&mut alice, &mut bob] {
        let rest = width - way.chars().count();
        way.push_str(&format!(" {}──", "─".repeat(rest)));
    }
    let server = format!(
        "{:1$}├── server {2}, {3}",
        "",
        alice.chars().count(),
        SERVER[0],
        SERVER[1]
    );
    [format!("{alice}┐"), server, format!("{bob}┘")]
}

/// From a host to the Internet; `home` is the number of its network.
fn way(name: &str, home: u8, nat: HomeNat, public: Ipv4Addr) -> String {
    if nat.is(NatKind::None) {
        return format!("  {name} {public}");
    }
    let mut way = format!("  {name} 192.168.{home}.2 ── NAT ");
    if nat.is(NatKind::Carrier) {
        way.push_str(&format!("100.64.{home}.2 ── NAT "));
    }
    way.push_str(&public.to_string());
    // Further addresses follow the first.
    let count = nat.behaviour().addresses;
    if count > 1 {
        way.push_str(&format!(" to .{}", public.octets()[3] + (count - 1)));
    }
    way
}

#[cfg(test)]
mod tests;
