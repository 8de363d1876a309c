//! Secure qualification (RFC 4380 §5.2.2), with and without a shared secret.

use std::cell::RefCell;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::sync::Arc;

use teredo::client::{Event, Nat, NatTraversal, Reason, State};
use teredo::server::{Answer, Security};
use teredo::wire::{Datagram, PORT, Secret};
use teredo::{
    ClientConfig, Credentials, DropReason, Identifier, Keyring, KnownClient, KnownClients, Node,
    Server, ServerAddress, ServerConfig,
};
use teredo_sim::{Arrival, ClientId, NatBehaviour, Network, World};

use crate::internet::*;
use crate::packets;

const KEY: &[u8] = b"twenty bytes of key!";

/// A change of an answer on its way.
type Spoil = Box<dyn FnMut(&mut Vec<u8>)>;

/// A real server. The test can change its secrets, and spoil its answers on their way.
#[derive(Clone)]
struct SecureServer {
    server: Rc<RefCell<Server>>,
    spoil: Rc<RefCell<Spoil>>,
}

impl SecureServer {
    fn add(world: &mut World, address: ServerAddress, security: Security) -> Self {
        let config = ServerConfig {
            security,
            ..ServerConfig::new(address)
        };
        let own = Self {
            server: Rc::new(RefCell::new(Server::new(config, [9; 32]))),
            spoil: Rc::new(RefCell::new(Box::new(|_| {}))),
        };
        let shared = own.clone();
        let addresses = [address.primary, address.secondary];
        world.add_responder(Network::Internet, &addresses, move |arrival, out| {
            let Arrival::Udp(received) = arrival else {
                return;
            };
            let mut buffer = [0; 2048];
            let len = received.payload.len();
            buffer[..len].copy_from_slice(&received.payload);
            let (from, local) = (received.source, *received.destination.ip());
            let now = out.now();
            let mut server = shared.server.borrow_mut();
            if let Ok(Answer::Udp { to, source, len }) =
                server.answer_in_place(now, from, local, &mut buffer, len)
            {
                let mut payload = buffer[..len].to_vec();
                (shared.spoil.borrow_mut())(&mut payload);
                out.send(SocketAddrV4::new(source, PORT), to, payload);
            }
        });
        own
    }

    fn set(&self, security: Security) {
        self.server.borrow_mut().set_security(security);
    }

    fn spoil(&self, spoil: impl FnMut(&mut Vec<u8>) + 'static) {
        *self.spoil.borrow_mut() = Box::new(spoil);
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.server.borrow().drops().get(reason)
    }
}

fn known(clients: &[(&str, &[u8], bool)]) -> Arc<KnownClients> {
    let mut known = KnownClients::default();
    for &(name, secret, retired) in clients {
        let secret = Secret::new(secret);
        known.insert(identifier(name), KnownClient { secret, retired });
    }
    Arc::new(known)
}

fn alice(retired: bool) -> Security {
    Security::Required(known(&[("alice", KEY, retired)]))
}

fn identifier(name: &str) -> Identifier {
    Identifier::new(name.as_bytes()).unwrap()
}

fn credentials(name: &str, secret: &[u8]) -> Arc<Credentials> {
    Arc::new(Credentials {
        identifier: identifier(name),
        secret: Secret::new(secret),
    })
}

fn with_secret(name: &str, secret: &[u8]) -> ClientConfig {
    let mut config = ClientConfig::default();
    config.keyring.set_everywhere(credentials(name, secret));
    config
}

/// A server that requires secrets and a client with one, started.
fn stage(security: Security, name: &str, secret: &[u8]) -> (World, SecureServer, ClientId) {
    let mut world = World::new(1);
    let server = SecureServer::add(&mut world, SERVER, security);
    let client = client_with(
        &mut world,
        1,
        NatBehaviour::port_restricted(),
        with_secret(name, secret),
    );
    (world, server, client)
}

fn key_events(world: &World, client: ClientId) -> Vec<bool> {
    let events = world.client(client).events().iter();
    let validity = events.filter_map(|event| match event.what {
        Event::KeyValidity { server, valid } => {
            assert_eq!(server, SERVER.primary);
            Some(valid)
        }
        _ => None,
    });
    validity.collect()
}

/// R4380-5.2-02, R4380-5.2.2-01, R4380-5.2.2-04, R4380-5.2.2-05, R4380-5.2.2-07, R4380-5.2.2-08, R4380-5.3.2-08: one
/// round trip, with the identifier and the keyed hash in every solicitation, and the same for an hour.
#[test]
fn who_shares_a_secret_qualifies_and_stays() {
    let (mut world, server, client) = stage(alice(false), "alice", KEY);
    assert!(world.run_until(ROUND_TRIP, |world| state(world, client) == State::Qualified));
    world.run_for(seconds(3600));
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(addresses(&world, client).len(), 1);
    let solicitations = solicitations(&world, client);
    assert!(solicitations.len() > 100, "{}", solicitations.len());
    let mut nonces: Vec<_> = solicitations
        .iter()
        .map(|record| {
            let datagram = Datagram::parse(record.payload()).unwrap();
            assert!(datagram.verify(&Secret::new(KEY)));
            let element = datagram.authentication.unwrap();
            assert_eq!(
                (element.identifier, element.value.len()),
                (&b"alice"[..], 20)
            );
            assert_eq!(element.confirmation, 0);
            element.nonce
        })
        .collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), solicitations.len());
    assert_eq!(server.dropped(DropReason::Unauthenticated), 0);
    assert_eq!(key_events(&world, client), []);
    assert!(!status(&world, client).key_retired);
}

/// R4380-5.2.2-01, R4380-5.2.2-02, R4380-5.2.2-07: an advertisement with any byte changed is worthless, in
/// qualification and in maintenance; the next correct one counts.
#[test]
fn every_flipped_byte_is_noticed() {
    let element = 4 + "alice".len() + 20 + 9;
    let len = element + 8 + 96;
    for at in 0..len {
        let (mut world, server, client) = stage(alice(false), "alice", KEY);
        let flip = move |payload: &mut Vec<u8>| {
            assert_eq!(payload.len(), len);
            payload[at] ^= 1 << (at % 8);
        };
        server.spoil(flip);
        world.run_for(seconds(3));
        assert_eq!(state(&world, client), State::Probe, "byte {at}");
        let dropped = |world: &World| {
            let drops = world.client(client).client().drops().iter();
            drops.map(|(_, count)| count).sum::<u64>()
        };
        assert_eq!(dropped(&world), 2, "byte {at}");
        if (4..element - 9).contains(&at) {
            assert_eq!(
                drops(&world, client, DropReason::Unauthenticated),
                2,
                "byte {at} of identifier and value"
            );
        }
        server.spoil(|_| {});
        qualify(&mut world, client);

        let before = addresses(&world, client);
        server.spoil(flip);
        let asked = solicitations(&world, client).len();
        assert!(
            world.run_until(seconds(31), |world| solicitations(world, client).len()
                > asked)
        );
        world.run_for(SECOND);
        assert_eq!(dropped(&world), 3, "byte {at}");
        server.spoil(|_| {});
        world.run_for(seconds(60));
        assert_eq!(state(&world, client), State::Qualified);
        assert_eq!(addresses(&world, client), before);
        assert_eq!(dropped(&world), 3);
    }
}

/// R4380-5.2.2-07: a host on the path can forge a mapping only with the secret. A checksum does not prevent it.
#[test]
fn a_forged_mapping_needs_the_secret() {
    let (mut world, server, client) = stage(alice(false), "alice", KEY);
    // The port in the origin indication, which no checksum covers.
    server.spoil(|payload| payload[38 + 3] ^= 1);
    world.run_for(seconds(3));
    assert_eq!(drops(&world, client, DropReason::Unauthenticated), 2);
    assert_eq!(state(&world, client), State::Probe);
}

/// R4380-5.3.1-05: a server with another secret, or without the identifier, is silent. The client reports the possible
/// reasons.
#[test]
fn a_wrong_secret_or_identifier_is_met_with_silence() {
    for (name, secret) in [("alice", &b"not the key at all.."[..]), ("bob", KEY)] {
        let (mut world, server, client) = stage(alice(false), name, secret);
        assert!(world.run_until(seconds(13), |world| state(world, client) == State::Offline));
        let reason = reason(&world, client).unwrap();
        assert_eq!(reason, Reason::ServerSilentToSecret(SERVER.primary));
        assert!(reason.to_string().contains("secret"), "{reason}");
        assert_eq!(server.dropped(DropReason::Unauthenticated), 6);

        let right = Security::Required(known(&[(name, secret, false)]));
        server.set(right);
        qualify(&mut world, client);
    }
}

/// R4380-5.2.2-01: a client with a secret does not believe a server without one.
#[test]
fn a_server_without_secrets_is_not_believed() {
    let (mut world, _, client) = stage(Security::Open, "alice", KEY);
    assert!(world.run_until(seconds(13), |world| state(world, client) == State::Offline));
    assert_eq!(
        reason(&world, client),
        Some(Reason::Unauthenticated(SERVER.primary))
    );
    assert_eq!(drops(&world, client, DropReason::Unauthenticated), 6);
}

/// R4380-5.3.1-05, R4380-5.3.2-10: a client without a secret is served only by a server that permits it.
#[test]
fn a_client_without_a_secret_depends_on_the_server() {
    let clients = known(&[("alice", KEY, false)]);
    for (security, served) in [
        (Security::Optional(Arc::clone(&clients)), true),
        (Security::Required(clients), false),
    ] {
        let mut world = World::new(1);
        let server = SecureServer::add(&mut world, SERVER, security);
        let plain = client(&mut world, 1, NatBehaviour::cone());
        let secured = client_with(
            &mut world,
            2,
            NatBehaviour::cone(),
            with_secret("alice", KEY),
        );
        world.run_for(seconds(13));
        assert_eq!(state(&world, plain) == State::Qualified, served);
        assert_eq!(state(&world, secured), State::Qualified);
        assert_eq!(server.dropped(DropReason::Unauthenticated) > 0, !served);
    }
}

/// R4380-5.2.2-06, A-03: a client with a retired key still qualifies, and reports that once; it also reports when the
/// key is valid again.
#[test]
fn a_retired_key_qualifies_and_is_told() {
    let (mut world, server, client) = stage(alice(true), "alice", KEY);
    qualify(&mut world, client);
    world.run_for(seconds(300));
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(key_events(&world, client), [false]);
    assert!(status(&world, client).key_retired);

    server.set(alice(false));
    world.run_for(seconds(31));
    assert_eq!(key_events(&world, client), [false, true]);
    assert!(!status(&world, client).key_retired);

    server.set(alice(true));
    world.run_for(seconds(31));
    assert_eq!(key_events(&world, client), [false, true, false]);
    assert_eq!(addresses(&world, client).len(), 1);
}

/// R4380-5.2.2-07: a server that forgets the secret is lost.
#[test]
fn a_secret_that_is_revoked_ends_the_service() {
    let (mut world, server, client) = stage(alice(false), "alice", KEY);
    qualify(&mut world, client);
    server.set(Security::Required(known(&[])));
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Offline));
    assert_eq!(
        reason(&world, client),
        Some(Reason::ServerSilentToSecret(SERVER.primary))
    );
}

/// Each server has its own identifier and secret; one without is asked with a nonce.
#[test]
fn each_server_has_its_own_secret() {
    let mut keyring = Keyring::default();
    keyring.set(SERVER.primary, credentials("alice", KEY));
    keyring.set(
        OTHER_SERVER.primary,
        credentials("alison", b"another key altogether"),
    );
    for (address, name, secret) in [
        (SERVER, "alice", KEY),
        (OTHER_SERVER, "alison", &b"another key altogether"[..]),
    ] {
        let mut world = World::new(1);
        let clients = known(&[(name, secret, false)]);
        SecureServer::add(&mut world, address, Security::Required(clients));
        let nat = nat(&mut world, 1, NatBehaviour::cone());
        let config = ClientConfig {
            keyring: keyring.clone(),
            ..ClientConfig::default()
        };
        let client = world.add_idle_client(nat, local(1), config);
        world.start(client, &[SERVER, OTHER_SERVER]);
        qualify(&mut world, client);
        assert_eq!(status(&world, client).server, Some(address));
    }
}

/// R4380-5.2.1-11: the secondary address reveals a symmetric NAT, also with a secret.
#[test]
fn a_symmetric_nat_is_told() {
    let mut world = World::new(1);
    SecureServer::add(&mut world, SERVER, alice(false));
    let config = ClientConfig {
        nat_traversal: NatTraversal::Rfc4380,
        ..with_secret("alice", KEY)
    };
    let client = client_with(&mut world, 1, NatBehaviour::symmetric(), config);
    world.run_for(SECOND);
    assert!(matches!(
        reason(&world, client),
        Some(Reason::SymmetricNat { .. })
    ));
    assert_eq!(status(&world, client).nat, Nat::Symmetric);
}

/// R4380-5.2.2-10: bubbles and data are not protected, neither by the server nor between clients.
#[test]
fn bubbles_and_data_carry_no_element() {
    let mut world = World::new(1);
    let clients = known(&[
        ("alice", KEY, false),
        ("bob", b"bob's own secret key", false),
    ]);
    SecureServer::add(&mut world, SERVER, Security::Required(clients));
    let [alice, bob] = [(1, "alice", KEY), (2, "bob", &b"bob's own secret key"[..])].map(
        |(number, name, secret)| {
            let config = with_secret(name, secret);
            client_with(&mut world, number, NatBehaviour::port_restricted(), config)
        },
    );
    qualify(&mut world, alice);
    qualify(&mut world, bob);
    let [from, to] = [alice, bob].map(|id| address(&world, id));
    world.send(alice, &packets::udp(from, to, 7));
    world.run_for(SECOND);
    assert_eq!(delivered(&world, bob), [packets::udp(from, to, 7)]);
    for record in [bubbles(&world, alice), data(&world, alice)].concat() {
        assert_eq!(
            Datagram::parse(record.payload()).unwrap().authentication,
            None
        );
    }
    assert!(!bubbles(&world, alice).is_empty());
}
