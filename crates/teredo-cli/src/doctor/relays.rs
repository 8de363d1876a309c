//! Whether native hosts answer. A client reaches them through relays.

use teredo_notify::types::{Peer, Role};

use super::check::{Check, id};
use super::seen::{Seen, has_answered, is_asked_native};

pub(super) fn answers(seen: &Seen) -> Check {
    let id = id::RELAY_ANSWERS;
    let role = seen.status().map(|status| status.role);
    if role != Some(Role::Client) || !seen.is_qualified() {
        return Check::ok(id, "no client is in use here");
    }
    let Some(peers) = &seen.service.peers else {
        return Check::needs_root(id, "the hosts that the client asks");
    };
    let asked: Vec<&Peer> = peers.iter().filter(|peer| is_asked_native(peer)).collect();
    let count = asked.len();
    let answered = asked.iter().filter(|peer| has_answered(peer)).count();
    let Some(first) = asked.first() else {
        return Check::ok(id, "no native host was asked of late, so no relay is known")
            .why("the first packet to a host of the IPv6 Internet finds its relay");
    };
    if answered > 0 {
        return Check::ok(id, format!("{answered} of {count} native hosts answer"));
    }
    let hosts = match count {
        1 => format!("{} was asked, and does not answer", first.address),
        count => format!(
            "{count} native hosts were asked, and none answers, such as {}",
            first.address
        ),
    };
    Check::warn(id, format!("no relay is found: {hosts}"))
        .why(
            "the server sends the question to the host, and the answer comes back through the relay nearest to that host. \
             If other hosts do not answer either, no network there has a relay: one that announces 2001::/32 to them is \
             needed, such as 'teredo relay' at the server; or the server forwards nothing, or the host is \
             off or refuses ICMPv6 echo requests",
        )
        .fix(seen.teredo("status --peers"))
}

#[cfg(test)]
mod tests {
    use teredo_notify::types::PeerState;

    use super::*;
    use crate::doctor::check::Verdict;
    use crate::doctor::tests::{check, healthy};

    fn peer(address: &str, state: PeerState, heard_ms: Option<u64>) -> Peer {
        Peer {
            address: address.parse().unwrap(),
            state,
            path: None,
            began: false,
            heard_ms,
            sent_ms: None,
            counters: Default::default(),
        }
    }

    /// A client that qualifies reaches nobody without relays.
    #[test]
    fn silence_of_all_native_hosts_is_a_warning() {
        let native = |state, heard| peer("2001:db8:1::fe", state, heard);
        let teredo = peer("2001:0:c000:201::1", PeerState::Silent, None);
        let stranger = Peer {
            began: true,
            ..native(PeerState::Silent, None)
        };
        for (peers, result) in [
            (vec![], Verdict::Ok),
            (vec![native(PeerState::Silent, None)], Verdict::Warn),
            (vec![native(PeerState::Probing, None)], Verdict::Warn),
            (vec![native(PeerState::Silent, Some(90_000))], Verdict::Ok),
            (
                vec![
                    native(PeerState::Silent, None),
                    native(PeerState::Trusted, None),
                ],
                Verdict::Ok,
            ),
            // A client at home may be off, and a host that asks first needs no relay.
            (vec![teredo, stranger], Verdict::Ok),
        ] {
            let mut seen = healthy();
            seen.service.peers = Some(peers);
            let found = check(&seen, id::RELAY_ANSWERS);
            assert_eq!(found.result, result, "{found:?}");
        }
    }
}
