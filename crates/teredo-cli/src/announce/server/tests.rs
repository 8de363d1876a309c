use teredo::server::{Answer, Security};
use teredo::wire::Secret;
use teredo::{Identifier, Instant, KnownClient, KnownClients, Server, ServerConfig};

use super::*;

const PAIR: ServerAddress = ServerAddress {
    primary: Ipv4Addr::new(192, 0, 2, 45),
    secondary: Ipv4Addr::new(192, 0, 2, 46),
};
const LOCALS: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 6), 40_001),
    SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 6), 40_002),
];
const TOKEN: [u8; 16] = *b"0123456789abcdef";

fn server(pair: ServerAddress, security: Security) -> Server {
    let config = ServerConfig {
        security,
        ..ServerConfig::new(pair)
    };
    Server::new(config, [1; 32])
}

fn known(name: &str, secret: &[u8]) -> (Credentials, Security) {
    let identifier = Identifier::new(name.as_bytes()).unwrap();
    let credentials = Credentials {
        identifier: identifier.clone(),
        secret: Secret::new(secret),
    };
    let client = KnownClient {
        secret: Secret::new(secret),
        retired: false,
    };
    let mut clients = KnownClients::default();
    clients.insert(identifier, client);
    (credentials, Security::Required(clients.into()))
}

/// The server's answer to a datagram of the probe.
fn answer(server: &mut Server, sent: &Sent) -> Option<Vec<u8>> {
    let mut buffer = vec![0; server.buffer_len()];
    buffer[..sent.payload.len()].copy_from_slice(&sent.payload);
    let (now, local) = (Instant::from_nanos(0), *ends(PAIR)[sent.from].ip());
    let len = sent.payload.len();
    match server.answer_in_place(now, LOCALS[sent.from], local, &mut buffer, len) {
        Ok(Answer::Udp { len, source, .. }) => {
            assert_eq!(
                source, local,
                "the answer comes from the address that was asked"
            );
            Some(buffer[..len].to_vec())
        }
        _ => None,
    }
}

/// Both addresses must answer, each to its own solicitation.
#[test]
fn a_server_answers_at_both_addresses() {
    let mut server = server(PAIR, Security::Open);
    let mut probe = ServerProbe::new(PAIR, None, LOCALS);
    let sent = probe.ask(TOKEN);
    let answers: Vec<_> = sent
        .iter()
        .map(|sent| answer(&mut server, sent).unwrap())
        .collect();
    assert_eq!(probe.received(0, &answers[1]), Err(Wrong::Nonce));
    assert_eq!(
        probe.received(0, &answers[0]),
        Ok(Progress::Send(Vec::new()))
    );
    assert_eq!(probe.silence(), "192.0.2.46 does not answer");
    assert_eq!(probe.received(0, &answers[0]), Err(Wrong::Nonce), "twice");
    assert_eq!(probe.received(1, &answers[1]), Ok(Progress::Answered));
}

#[test]
fn an_answer_to_an_earlier_probe_is_none() {
    let mut server = server(PAIR, Security::Open);
    let mut probe = ServerProbe::new(PAIR, None, LOCALS);
    let early = answer(&mut server, &probe.ask(TOKEN)[0]).unwrap();
    probe.ask(*b"fedcba9876543210");
    assert_eq!(probe.received(0, &early), Err(Wrong::Nonce));
}

/// A server with the same address in another pair gives clients another prefix: they would change their address when the
/// route moves.
#[test]
fn a_server_of_another_pair_is_refused() {
    let swapped = ServerAddress {
        primary: PAIR.secondary,
        secondary: PAIR.primary,
    };
    let mut server = server(swapped, Security::Open);
    let mut probe = ServerProbe::new(PAIR, None, LOCALS);
    let answer = answer(&mut server, &probe.ask(TOKEN)[0]).unwrap();
    assert_eq!(probe.received(0, &answer), Err(Wrong::OtherPair));
}

#[test]
fn a_server_for_known_clients_needs_a_secret() {
    let (credentials, security) = known("alice", b"secret");
    let mut server = server(PAIR, security);
    let mut plain = ServerProbe::new(PAIR, None, LOCALS);
    assert_eq!(answer(&mut server, &plain.ask(TOKEN)[0]), None);
    let mut probe = ServerProbe::new(PAIR, Some(credentials), LOCALS);
    let reply = answer(&mut server, &probe.ask(TOKEN)[0]).unwrap();
    assert_eq!(probe.received(0, &reply), Ok(Progress::Send(Vec::new())));
    // One that has another secret, and answers all the same.
    let (other, _) = known("alice", b"another");
    let mut probe = ServerProbe::new(PAIR, Some(other), LOCALS);
    probe.ask(TOKEN);
    assert_eq!(probe.received(0, &reply), Err(Wrong::Secret));
}

#[test]
fn garbage_is_no_answer() {
    let mut probe = ServerProbe::new(PAIR, None, LOCALS);
    assert_eq!(probe.received(0, b"early"), Err(Wrong::Nonce));
    let own = probe.ask(TOKEN);
    assert_eq!(probe.received(0, b"garbage"), Err(Wrong::Malformed));
    assert_eq!(
        probe.received(0, &own[0].payload),
        Err(Wrong::Origin),
        "its own solicitation"
    );
}
