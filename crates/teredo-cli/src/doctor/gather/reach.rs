//! The doctor's own solicitations: who answers, and who says no.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::rand::{GetRandomFlags, getrandom};
use teredo::ServerAddress;
use teredo::wire::{
    Authentication, Datagram, Flags, Icmpv6, PORT, emit_router_solicitation, link_local,
    link_local_flags,
};
use teredo_node::ServerName;

use crate::doctor::seen::{Answer, Reached, Unresolved};

/// When the solicitations leave. The last wait is as long as the one before.
const SENT_AT: [Duration; 2] = [Duration::ZERO, Duration::from_millis(600)];
const PATIENCE: Duration = Duration::from_millis(1400);

/// The first port of traceroute, where no program listens.
const CLOSED: u16 = 33_434;

/// The addresses of a server by its name, as the client has them.
pub(super) fn resolve(name: &str) -> Result<ServerAddress, Unresolved> {
    if let Some(address) = ServerName::from(name).address() {
        return Ok(address);
    }
    let found = (name, PORT).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        // The only difference that getaddrinfo(3) makes is in its words.
        if text.contains("not known") || text.contains("No address associated") {
            Unresolved::NoSuchHost
        } else {
            Unresolved::NoAnswer(text)
        }
    })?;
    let mut addresses: Vec<Ipv4Addr> = found
        .filter_map(|address| match address.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .collect();
    addresses.sort_unstable();
    let first = addresses.first().ok_or(Unresolved::NoIpv4)?;
    Ok(ServerAddress::adjacent(*first))
}

/// Solicits both addresses of a server, from one port for the mappings and from others for the errors.
pub(super) fn ask(server: ServerAddress, bind: Ipv4Addr) -> Reached {
    let both = [server.primary, server.secondary];
    thread::scope(|scope| {
        let together = scope.spawn(|| solicit(bind, both));
        let single = both.map(|address| scope.spawn(move || complain(bind, address, PORT)));
        let closed = scope.spawn(|| complain(bind, server.primary, CLOSED));
        let [primary, secondary] = single.map(|one| one.join().unwrap_or_default());
        let together = together.join().unwrap_or_default();
        let [first, second] = together;
        let better = |answer: Answer, other: Answer| {
            if answer == Answer::Silence { other } else { answer }
        };
        Reached {
            primary: better(first, primary),
            secondary: better(second, secondary),
            host_is_there: closed.join().unwrap_or_default() == Answer::Refused,
        }
    })
}

/// Solicits both from one port, which shows whether the NAT maps it alike.
fn solicit(bind: Ipv4Addr, servers: [Ipv4Addr; 2]) -> [Answer; 2] {
    let mut answers = [Answer::Silence, Answer::Silence];
    let Ok(socket) = UdpSocket::bind((bind, 0)) else {
        return answers;
    };
    let start = Instant::now();
    let mut sent = 0;
    let mut buffer = [0; 2048];
    while start.elapsed() < PATIENCE && !answers.iter().all(Answer::is_answer) {
        if let Some(at) = SENT_AT.get(sent)
            && start.elapsed() >= *at
        {
            sent += 1;
            for (server, answer) in servers.iter().zip(&mut answers) {
                if !answer.is_answer()
                    && let Err(error) = socket.send_to(&solicitation(), (*server, PORT))
                {
                    *answer = failed(&error);
                }
            }
        }
        let next = SENT_AT.get(sent).copied().unwrap_or(PATIENCE);
        let wait = next.saturating_sub(start.elapsed());
        let wait = wait.max(Duration::from_millis(1));
        if socket.set_read_timeout(Some(wait)).is_err() {
            break;
        }
        let Ok((length, SocketAddr::V4(from))) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let index = servers.iter().position(|server| from.ip() == server);
        if let Some(index) = index.filter(|_| from.port() == PORT)
            && let Some(mapped) = advertisement(&buffer[..length])
        {
            answers[index] = Answer::Advertisement {
                after: start.elapsed(),
                mapped,
            };
        }
    }
    answers
}

/// Sends to one address from a connected socket, which hears of errors.
fn complain(bind: Ipv4Addr, server: Ipv4Addr, port: u16) -> Answer {
    let talk = || -> io::Result<Answer> {
        let socket = UdpSocket::bind((bind, 0))?;
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        socket.connect((server, port))?;
        let start = Instant::now();
        for at in SENT_AT {
            let message = if port == PORT { solicitation() } else { vec![0] };
            socket.send(&message)?;
            let wait = (PATIENCE - SENT_AT[1]).min(PATIENCE.saturating_sub(at));
            socket.set_read_timeout(Some(wait))?;
            let mut buffer = [0; 2048];
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    if let Some(mapped) = advertisement(&buffer[..length]) {
                        let after = start.elapsed();
                        return Ok(Answer::Advertisement { after, mapped });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Ok(failed(&error)),
            }
        }
        Ok(Answer::Silence)
    };
    talk().unwrap_or_else(|error| failed(&error))
}

fn failed(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Answer::Refused,
        io::ErrorKind::PermissionDenied => Answer::NotPermitted,
        io::ErrorKind::WouldBlock => Answer::Silence,
        _ => Answer::Unreachable(error.to_string()),
    }
}

/// A router solicitation (RFC 4380 §5.2.1), with a nonce and no secret.
fn solicitation() -> Vec<u8> {
    let mut random = [0; 10];
    // Without randomness it is guessable, and still a question.
    let _ = getrandom(&mut random, GetRandomFlags::empty());
    let [a, b, nonce @ ..] = random;
    let mut bytes = Vec::new();
    let authentication = Authentication {
        identifier: &[],
        value: &[],
        nonce,
        confirmation: 0,
    };
    authentication.emit(&mut bytes);
    let _ = (a, b);
    let source = link_local(link_local_flags(Flags::from_random(u16::from_be_bytes([a, b]))));
    emit_router_solicitation(source, &mut bytes);
    bytes
}

/// The mapping in a router advertisement; none if it is none.
fn advertisement(bytes: &[u8]) -> Option<Option<SocketAddrV4>> {
    let datagram = Datagram::parse(bytes).ok()?;
    match Icmpv6::parse(&datagram.packet).ok()? {
        Icmpv6::RouterAdvertisement(_) => Some(datagram.origin.map(|origin| origin.0)),
        _ => None,
    }
}
