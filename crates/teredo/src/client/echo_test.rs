//! The echo test (RFC 6081 §5.5): what comes next if a NAT gives the ports in sequence.
//!
//! The client asks both addresses of its server from the random port, and sends a bubble to the peer in between:
//!
//! ```text
//!  from port 1100:  solicitation to the primary address      seen as 1200
//!                   bubble to the peer                        so this is 1201
//!                   solicitation to the secondary address     seen as 1202
//! ```
//!
//! A test without both answers is repeated after a second. After two more seconds the indirect bubble leaves without a
//! port.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::qualify::{Nonces, check_advertisement, emit_solicitation};
use super::random_port::{Foresight, Stage};
use super::{Client, Phase};
use crate::wire::{Datagram, Flags, PORT, link_local};
use crate::{DropReason, Instant};

/// How often the test is made.
const ATTEMPTS: u32 = 2;
/// The same for an eager client, which repeats it by the measured round trip.
const EAGER_ATTEMPTS: u32 = 4;
/// Two ports that are further apart are no sequence.
const NEAR: u16 = 16;

/// The state of a test.
#[derive(Debug)]
pub(super) struct EchoTest {
    /// The source of its solicitations.
    link_local: Ipv6Addr,
    /// EchoTestNonce1 and EchoTestNonce2, of both attempts.
    nonces: [Nonces; 2],
    /// EchoTestLowerPort and EchoTestUpperPort.
    ports: [Option<u16>; 2],
    /// EchoTestRetryCounter.
    attempts: u32,
    /// The Echo Test Failover Timer.
    due: Instant,
}

impl EchoTest {
    pub(super) fn due(&self) -> Instant {
        self.due
    }
}

/// The port between the two that the server saw (R6081-5.5.4.4-02, A-09), and whether it may be wrong, since a packet was
/// lost or another program's came in between. Steps of 1 and 2 are usual (RFC 4787 §4.2.2).
fn between(lower: u16, upper: u16) -> (u16, Foresight) {
    let middle = ((u32::from(lower) + u32::from(upper)) / 2) as u16;
    let distance = upper.wrapping_sub(lower) as i16;
    let foresight = match distance {
        2 | 4 => Foresight::Sequence,
        _ if distance.unsigned_abs() <= NEAR => Foresight::Doubtful,
        _ => Foresight::None,
    };
    (middle, foresight)
}

impl Client {
    /// Begins a test from a port that has just been opened (R6081-5.5.4.1-01).
    pub(super) fn begin_echo_test(&mut self, now: Instant, number: u16) {
        let local = SocketAddrV4::new(*self.local.ip(), number);
        if let Some(port) = self.random_ports.get_mut(number) {
            port.stage = Stage::Testing(EchoTest {
                link_local: link_local(Flags::default(), local),
                nonces: [Nonces::default(); 2],
                ports: [None; 2],
                attempts: 0,
                due: now,
            });
            self.test_echo(now, number);
        }
    }

    /// Sends the three packets in order (R6081-5.5.4.1.1-01), and waits for a second, then for two (R6081-5.5.4.1.1-02).
    fn test_echo(&mut self, now: Instant, number: u16) {
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        let server = service.server;
        let measured = self.echo_pause();
        let pause = |attempts| measured.unwrap_or(Duration::from_secs(1) * attempts);
        let Some(port) = self.random_ports.get_mut(number) else {
            return;
        };
        let Stage::Testing(test) = &mut port.stage else {
            return;
        };
        test.attempts += 1;
        test.due = now + pause(test.attempts);
        let source = test.link_local;
        let nonces = test
            .nonces
            .each_mut()
            .map(|nonces| nonces.draw(now, &mut self.rng));
        let peer = port.peer;
        for (nonce, to) in nonces.into_iter().zip([server.primary, server.secondary]) {
            let credentials = self.config.keyring.get(server.primary);
            let to = SocketAddrV4::new(to, PORT);
            self.outbox.udp_via(Some(number), to, None, |out| {
                emit_solicitation(nonce, credentials, source, out);
            });
            if *to.ip() == server.primary
                && let Some(slot) = self.peers.find(&peer)
            {
                self.bubble_from_random_port(now, slot, number);
            }
        }
    }

    /// The Echo Test Failover Timer has expired (R6081-5.5.2.2-01). The Peer Refresh Timer does not clear a test that is
    /// under way, and ends with a contact, so each contact has two (R6081-5.5.2.1-01).
    pub(super) fn fail_echo_test(&mut self, now: Instant, number: u16) {
        let most = match self.echo_pause() {
            Some(_) => EAGER_ATTEMPTS,
            None => ATTEMPTS,
        };
        let port = self.random_ports.get(number);
        match port.map(|port| &port.stage) {
            Some(Stage::Testing(test)) if test.attempts < most && self.is_in_service() => {
                self.test_echo(now, number);
            }
            _ => self.foresee(now, number, None, Foresight::None),
        }
    }

    fn is_in_service(&self) -> bool {
        matches!(self.phase, Phase::Qualified(_))
    }

    /// Takes in the answer of the server. The first value of each address counts (R6081-5.5.4.4-01).
    pub(super) fn echoed(
        &mut self,
        now: Instant,
        number: u16,
        from: SocketAddrV4,
        datagram: &Datagram<'_>,
    ) -> Result<(), DropReason> {
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::NotQualified);
        };
        let (server, own) = (service.server, service.address.mapped);
        let nonce = datagram
            .authentication
            .as_ref()
            .ok_or(DropReason::UnsolicitedAdvertisement)?
            .nonce;
        let Some(Stage::Testing(test)) = self.random_ports.get(number).map(|port| &port.stage)
        else {
            return Err(DropReason::UnsolicitedAdvertisement);
        };
        let asked = [server.primary, server.secondary].map(|ip| SocketAddrV4::new(ip, PORT));
        let which = asked
            .iter()
            .zip(&test.nonces)
            .position(|(to, nonces)| *to == from && nonces.contain(nonce))
            .ok_or(DropReason::UnsolicitedAdvertisement)?;
        let source = test.link_local;
        self.check_secret(server, datagram)?;
        let advertised = check_advertisement(datagram, source)?;
        if advertised.server != server.primary {
            return Err(DropReason::InvalidAdvertisement);
        }
        let Some(Stage::Testing(test)) = self
            .random_ports
            .get_mut(number)
            .map(|port| &mut port.stage)
        else {
            return Err(DropReason::UnsolicitedAdvertisement);
        };
        let seen = advertised.mapped.port();
        test.ports[which].get_or_insert(seen);
        let ports = test.ports;
        if advertised.mapped.ip() != own.ip() {
            // The NAT has several addresses, and the peer knows only one of them.
            self.foresee(now, number, None, Foresight::None);
        } else if let [Some(lower), Some(upper)] = ports {
            let (middle, foresight) = between(lower, upper);
            self.foresee(now, number, Some(middle), foresight);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
