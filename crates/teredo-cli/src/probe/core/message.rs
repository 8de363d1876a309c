//! The messages of the tests, and the tokens by which their answers are known.

use std::net::{Ipv6Addr, SocketAddrV4};

use rand_chacha::rand_core::Rng as _;
use teredo::wire::{
    Authentication, Flags, PORT, TeredoAddress, Trailer, emit_bubble, emit_router_solicitation,
    link_local,
};

use super::{Core, KNOCKS, Own, Sent, Test, Transmit};

const HOP_LIMIT: u8 = 255;
/// More than all trailers of RFC 6081 together, and more than a server of ours forwards.
pub(super) const LONG: usize = 200;
/// A trailer that receivers skip (RFC 6081 §4).
const SKIPPED: u8 = 0x80;

/// The part of a message by which an answer is known. Nobody who does not see the message can guess it: 64, 62 and 24
/// bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// The nonce, and the link-local source.
    Nonce([u8; 8], Ipv6Addr),
    /// The link-local source of a solicitation without a nonce.
    Source(Ipv6Addr),
    /// The addresses of a bubble, with random flags.
    Bubble(Ipv6Addr, Ipv6Addr),
    /// A datagram for a port that nobody listens on.
    Knock,
}

impl Core {
    /// Queues the datagrams of one attempt.
    pub(super) fn send(&mut self, test: Test, attempt: u8) {
        let [primary, secondary] =
            [self.server.primary, self.server.secondary].map(|to| SocketAddrV4::new(to, PORT));
        match test {
            Test::AskPrimary => self.solicit(test, Own::Main, primary, false),
            Test::AskSecondary => self.solicit(test, Own::Main, secondary, false),
            Test::StrangerPlain => self.solicit(test, Own::Stranger, secondary, false),
            Test::KnockerPlain => self.solicit(test, Own::Knocker, secondary, false),
            Test::SparePlain => self.solicit(test, Own::Spare, primary, false),
            Test::SpareSecondary => self.solicit(test, Own::Spare, secondary, false),
            Test::StrangerLate => self.solicit(test, Own::Stranger, primary, false),
            Test::StrangerCone => self.solicit(test, Own::Stranger, secondary, true),
            Test::ConePrimary => self.solicit(test, Own::Main, primary, true),
            Test::ConeSecondary => self.solicit(test, Own::Main, secondary, true),
            Test::SpareCone => self.solicit(test, Own::Spare, primary, true),
            Test::KnockerCone => {
                // A NAT may close the filter at the ICMP error that the knock causes, so one attempt knocks last.
                let knocks_first = attempt != 1;
                if knocks_first {
                    self.knock(test, Own::Knocker);
                }
                self.solicit(test, Own::Knocker, secondary, true);
                if !knocks_first {
                    self.knock(test, Own::Knocker);
                }
            }
            Test::KnockerBubble => {
                self.knock(test, Own::Knocker);
                self.bubble(test, Test::KnockerPlain);
            }
            Test::StrangerBubble => self.bubble(test, Test::StrangerPlain),
            Test::BubbleSelf | Test::LongBubble | Test::SpoofedBubble => {
                self.bubble(test, Test::AskPrimary);
            }
            Test::Hairpin => self.hairpin(test),
            Test::NoNonce => self.solicit_without_nonce(test, primary),
            Test::BadChecksum => self.solicit_wrongly(test, primary),
            Test::KnockSilent => self.knock(test, Own::Spare),
            Test::BubbleBlind => self.bubble_to(test, self.local(Own::Main), self.local(Own::Main)),
        }
    }

    fn queue(&mut self, test: Test, from: Own, to: SocketAddrV4, token: Token, payload: Vec<u8>) {
        self.sent.push(Sent {
            test,
            from,
            to,
            token,
            at: self.now,
        });
        self.outbox.push_back(Transmit {
            from: from as usize,
            to,
            payload,
        });
    }

    /// A solicitation as a client sends it (RFC 4380 §5.2.1), with the cone bit if wanted.
    fn solicit(&mut self, test: Test, from: Own, to: SocketAddrV4, cone: bool) {
        let flags = if cone { Flags::CONE } else { Flags::default() };
        let source = link_local(flags, self.local(from));
        let nonce = self.rng.next_u64().to_be_bytes();
        let mut payload = Vec::new();
        Authentication::nonce_only(nonce).emit(&mut payload);
        emit_router_solicitation(source, &mut payload);
        self.queue(test, from, to, Token::Nonce(nonce, source), payload);
    }

    /// A solicitation without a nonce. Its source is random instead, and servers repeat it.
    fn solicit_without_nonce(&mut self, test: Test, to: SocketAddrV4) {
        let identifier = self.rng.next_u64() & !(0xc300 << 48);
        let source = Ipv6Addr::from_bits((0xfe80 << 112) | u128::from(identifier));
        let mut payload = Vec::new();
        emit_router_solicitation(source, &mut payload);
        self.queue(test, Own::Spare, to, Token::Source(source), payload);
    }

    /// A solicitation with a wrong checksum, which no router may answer (RFC 4861 §6.1.1).
    fn solicit_wrongly(&mut self, test: Test, to: SocketAddrV4) {
        self.solicit(test, Own::Spare, to, false);
        if let Some(transmit) = self.outbox.back_mut() {
            let checksum = Authentication::MIN_LEN + 42;
            transmit.payload[checksum] ^= 0xff;
        }
    }

    /// A datagram to ports of the primary address that no server has, which makes a NAT let that address in if only the
    /// address counts.
    fn knock(&mut self, test: Test, from: Own) {
        for port in KNOCKS {
            let to = SocketAddrV4::new(self.server.primary, port);
            // A bubble of a link-local address: no program can take it for anything.
            let source = link_local(Flags::default(), self.local(from));
            let mut payload = Vec::new();
            emit_bubble(source, source, HOP_LIMIT, &mut payload);
            self.queue(test, from, to, Token::Knock, payload);
        }
    }

    /// A bubble from main to the mapping that `target` has found, by way of the primary address.
    fn bubble(&mut self, test: Test, target: Test) {
        if let (Some(own), Some(target)) = (self.mapping(Test::AskPrimary), self.mapping(target)) {
            self.bubble_to(test, own, target);
        }
    }

    fn bubble_to(&mut self, test: Test, own: SocketAddrV4, target: SocketAddrV4) {
        let claimed = if test == Test::SpoofedBubble {
            SocketAddrV4::new(*own.ip(), own.port() ^ 1)
        } else {
            own
        };
        let [source, destination] = [claimed, target].map(|mapped| self.teredo(mapped));
        let mut payload = Vec::new();
        emit_bubble(source, destination, HOP_LIMIT, &mut payload);
        match test {
            Test::LongBubble => {
                payload.extend_from_slice(&[SKIPPED, (LONG - 2) as u8]);
                payload.resize(payload.len() + LONG - 2, 0xda);
            }
            Test::BubbleSelf => {
                let nonce = self.rng.next_u32().to_be_bytes();
                Trailer::Nonce(nonce).emit(&mut payload);
            }
            _ => {}
        }
        let to = SocketAddrV4::new(self.server.primary, PORT);
        self.queue(
            test,
            Own::Main,
            to,
            Token::Bubble(source, destination),
            payload,
        );
    }

    /// Both ways at once: each opens the NAT's filter for the other.
    fn hairpin(&mut self, test: Test) {
        let (Some(main), Some(spare)) = (
            self.mapping(Test::AskPrimary),
            self.mapping(Test::SparePlain),
        ) else {
            return;
        };
        for (from, own, to) in [(Own::Main, main, spare), (Own::Spare, spare, main)] {
            let [source, destination] = [own, to].map(|mapped| self.teredo(mapped));
            let mut payload = Vec::new();
            emit_bubble(source, destination, HOP_LIMIT, &mut payload);
            self.queue(test, from, to, Token::Bubble(source, destination), payload);
        }
    }

    /// A Teredo address of this server, with random flags (RFC 5991 §3.1).
    fn teredo(&mut self, mapped: SocketAddrV4) -> Ipv6Addr {
        TeredoAddress {
            server: self.server.primary,
            flags: Flags::from_random(self.rng.next_u32() as u16),
            mapped,
        }
        .to_ipv6()
    }
}
