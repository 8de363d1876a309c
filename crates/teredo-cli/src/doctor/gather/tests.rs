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

/// An agent may have a file of its own, and run before the client does.
#[test]
fn the_agents_file_is_known_without_a_client() {
    let process = |arguments: &str| Process {
        name: "teredo".into(),
        arguments: arguments.split(' ').map(str::to_owned).collect(),
        here: Some(true),
        ..Process::default()
    };
    let agent = process("teredo firewall --config /etc/agent.toml");
    let client = process("teredo client --config /etc/client.toml --socket /run/own.sock");
    let elsewhere = Process {
        here: Some(false),
        ..agent.clone()
    };
    let own = Path::new("/run/own.sock");
    let usual = Path::new("/run/teredo/teredo.sock");
    for (processes, socket, is_default, expected) in [
        (
            vec![agent.clone()],
            usual,
            true,
            [None, Some("/etc/agent.toml")],
        ),
        (
            vec![agent.clone()],
            own,
            false,
            [None, Some("/etc/agent.toml")],
        ),
        (
            vec![client, agent],
            own,
            false,
            [Some("/etc/client.toml"), Some("/etc/agent.toml")],
        ),
        (vec![elsewhere], usual, true, [None, None]),
        (
            vec![process("teredo firewall")],
            usual,
            true,
            [None, Some(DEFAULT_CONFIG)],
        ),
    ] {
        let found = manner_of(&processes, socket, is_default);
        let files = [found.config, found.agent];
        assert_eq!(
            files,
            expected.map(|file| file.map(PathBuf::from)),
            "{processes:?}"
        );
    }
}
