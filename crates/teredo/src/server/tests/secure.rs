//! Secure qualification (RFC 4380 §5.2.2, §5.3.1 rule 4, §5.3.2).

use std::sync::Arc;

use super::*;
use crate::wire::{Authentication, Icmpv6, MAC_LEN, Secret};
use crate::{KnownClient, KnownClients};

const NONCE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const ALICE: &[u8] = b"alice";

fn clients() -> Arc<KnownClients> {
    let mut clients = KnownClients::default();
    for (name, secret, retired) in [
        (ALICE, &b"secret"[..], false),
        (b"bob", b"another secret", false),
        (b"carol", b"an old secret", true),
        (&[7; 255], b"secret", false),
    ] {
        let secret = Secret::new(secret);
        let identifier = Identifier::new(name).unwrap();
        clients.insert(identifier, KnownClient { secret, retired });
    }
    Arc::new(clients)
}

fn serving(security: fn(Arc<KnownClients>) -> Security) -> Server {
    let mut server = server();
    server.set_security(security(clients()));
    server
}

fn secured(identifier: &[u8], secret: &[u8], solicitation: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Authentication {
        identifier,
        value: &Secret::new(secret).sign(NONCE, 0, solicitation),
        nonce: NONCE,
        confirmation: 0,
    }
    .emit(&mut bytes);
    bytes.extend_from_slice(solicitation);
    bytes
}

fn alice() -> Vec<u8> {
    secured(ALICE, b"secret", &solicitation(Flags::default()))
}

/// R4380-5.3.2-08, R4380-5.3.2-09, R4380-5.2.2-08: identifier and nonce are repeated, and the value is made with the
/// secret over what the client receives, from either address.
#[test]
fn a_known_client_is_answered() {
    for security in [Security::Required, Security::Optional] {
        let mut server = serving(security);
        for (flags, source) in [(Flags::default(), PRIMARY), (Flags::CONE, SECONDARY)] {
            for (name, secret, confirmation) in [
                (ALICE, &b"secret"[..], 0),
                (b"bob", b"another secret", 0),
                (b"carol", b"an old secret", 1),
                (&[7; 255], b"secret", 0),
            ] {
                let bytes = secured(name, secret, &solicitation(flags));
                let sent = expect_sent(&mut server, CLIENT, &bytes);
                assert_eq!((sent.to, sent.source), (CLIENT, source));
                let datagram = Datagram::parse(&sent.bytes).unwrap();
                let element = datagram.authentication.unwrap();
                assert_eq!(
                    (element.identifier, element.nonce, element.confirmation),
                    (name, NONCE, confirmation)
                );
                assert_eq!(element.value.len(), MAC_LEN);
                assert_eq!(datagram.origin, Some(Origin(CLIENT)));
                assert!(matches!(
                    Icmpv6::parse(&datagram.packet),
                    Ok(Icmpv6::RouterAdvertisement(_))
                ));
                assert!(datagram.verify(&Secret::new(secret)));
                assert!(!datagram.verify(&Secret::new(b"guess")));
                // The value covers origin and packet, and nothing else.
                let start = 4 + name.len() + MAC_LEN + 9;
                assert_eq!(
                    element.value,
                    Secret::new(secret).sign(NONCE, confirmation, &sent.bytes[start..])
                );
            }
        }
    }
}

/// R4380-5.3.1-05, R4380-5.2.2-07: a solicitation with any byte changed is not answered.
#[test]
fn every_flipped_byte_is_noticed() {
    let good = alice();
    for security in [Security::Required, Security::Optional] {
        let mut server = serving(security);
        expect_sent(&mut server, CLIENT, &good);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let outcome = receive(&mut server, CLIENT, PRIMARY, &bad);
                assert!(outcome.is_err(), "byte {at}, bit {bit}");
            }
        }
        // Changes that leave a well-formed solicitation: identifier, value, nonce and confirmation, and the addresses
        // with the checksum in step.
        for at in (4..38).chain([8 + 38 + 15]) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            if at > 38 {
                bad[38 + 42..38 + 44].fill(0);
                let source: [u8; 16] = bad[38 + 8..38 + 24].try_into().unwrap();
                let sum = wire::checksum(source.into(), ALL_ROUTERS, 58, &bad[38 + 40..]);
                bad[38 + 42..38 + 44].copy_from_slice(&sum.to_be_bytes());
            }
            expect_drop(&mut server, CLIENT, &bad, DropReason::Unauthenticated);
        }
    }
}

/// R4380-5.3.1-05: nothing, a nonce alone, an unknown name, another's secret, half a value.
#[test]
fn who_does_not_prove_itself_is_not_answered() {
    let mut server = serving(Security::Required);
    let plain = solicitation(Flags::default());
    let mut nonce_only = Vec::new();
    Authentication::nonce_only(NONCE).emit(&mut nonce_only);
    nonce_only.extend_from_slice(&plain);
    let value = Secret::new(b"secret").sign(NONCE, 0, &plain);
    let short = |identifier, value| {
        let mut bytes = Vec::new();
        let nonce = NONCE;
        let confirmation = 0;
        Authentication {
            identifier,
            value,
            nonce,
            confirmation,
        }
        .emit(&mut bytes);
        [bytes, plain.clone()].concat()
    };
    for bytes in [
        plain.clone(),
        nonce_only,
        secured(b"mallory", b"secret", &plain),
        secured(ALICE, b"another secret", &plain),
        secured(b"", b"secret", &plain),
        short(ALICE, &value[..19]),
        short(ALICE, &[]),
        short(b"", &value),
    ] {
        expect_drop(&mut server, CLIENT, &bytes, DropReason::Unauthenticated);
    }
    assert_eq!(server.counters().advertisements, 0);
}

/// R4380-5.3.2-10: if authentication is optional, a client without an identifier is answered as by an open server, and
/// a client with one must prove it.
#[test]
fn both_kinds_of_client_are_served() {
    let mut server = serving(Security::Optional);
    let plain = solicitation(Flags::default());
    let sent = expect_sent(&mut server, CLIENT, &plain);
    assert_eq!(Datagram::parse(&sent.bytes).unwrap().authentication, None);
    let mut nonce_only = Vec::new();
    Authentication::nonce_only(NONCE).emit(&mut nonce_only);
    nonce_only.extend_from_slice(&plain);
    let sent = expect_sent(&mut server, CLIENT, &nonce_only);
    assert_eq!(
        Datagram::parse(&sent.bytes).unwrap().authentication,
        Some(Authentication::nonce_only(NONCE))
    );
    for bytes in [
        secured(ALICE, b"another secret", &plain),
        secured(b"mallory", b"secret", &plain),
    ] {
        expect_drop(&mut server, CLIENT, &bytes, DropReason::Unauthenticated);
    }
}

/// R4380-5.2.2-10: only solicitations are protected. Bubbles and pings need no element.
#[test]
fn bubbles_and_pings_need_no_secret() {
    let mut server = serving(Security::Required);
    expect_sent(&mut server, PEER, &bubble(peer(), client()));
    expect_sent(&mut server, CLIENT, &echo(client(), NATIVE));
    let link_local = server.link_local;
    expect_sent(&mut server, CLIENT, &echo(client(), link_local));
}

/// A new list counts at once.
#[test]
fn the_list_can_be_replaced() {
    let mut server = serving(Security::Required);
    expect_sent(&mut server, CLIENT, &alice());
    server.set_security(Security::Required(Arc::new(KnownClients::default())));
    expect_drop(&mut server, CLIENT, &alice(), DropReason::Unauthenticated);
}
