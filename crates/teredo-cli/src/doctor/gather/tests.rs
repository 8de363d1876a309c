use teredo_notify::types::Peer;

use super::*;

/// A native host may still answer, whatever other peers say. `relay.answers` judges only those that the client asked.
#[test]
fn the_first_answer_of_a_native_host_is_awaited() {
    let peer = |address: &str, state, heard_ms| Peer {
        address: address.parse().unwrap(),
        state,
        path: None,
        began: false,
        heard_ms,
        sent_ms: None,
        counters: Default::default(),
    };
    let native = |state, heard_ms| peer("2001:db8:1::fe", state, heard_ms);
    let probing = || native(PeerState::Probing, None);
    let teredo = |state| peer("2001:0:c000:201::1", state, Some(40));
    let stranger = Peer {
        began: true,
        ..native(PeerState::Trusted, Some(40))
    };
    for (peers, awaits) in [
        (vec![], false),
        (vec![probing()], true),
        (vec![teredo(PeerState::Trusted), probing()], true),
        (vec![stranger, probing()], true),
        (vec![native(PeerState::Silent, None)], false),
        (vec![teredo(PeerState::Probing)], false),
        (vec![native(PeerState::Silent, Some(9)), probing()], false),
        (vec![native(PeerState::Trusted, None), probing()], false),
    ] {
        assert_eq!(awaits_answer(&peers), awaits, "{peers:?}");
    }
}
