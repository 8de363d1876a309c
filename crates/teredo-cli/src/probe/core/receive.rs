//! Reception: finds the message that a datagram answers, and whether it may.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::wire::{Datagram, PORT, ParseError};
use teredo::{Instant, ServerAddress};

use super::message::{LONG, Token};
use super::{Core, MAX_RECEIVED, Malformed, Own, Sent, Series, Test};
use crate::probe::finding;
use crate::probe::judge;

impl Core {
    /// Takes in a datagram that the port with this index received.
    pub(in crate::probe) fn handle(
        &mut self,
        now: Instant,
        at: usize,
        from: SocketAddrV4,
        bytes: &[u8],
    ) {
        self.now = self.now.max(now);
        self.received += 1;
        if self.received > MAX_RECEIVED {
            return;
        }
        let Some(&own) = Own::ALL.get(at) else {
            return;
        };
        match Datagram::parse(bytes) {
            Ok(datagram) if datagram.packet.is_bubble() => self.bubbled(own, from, &datagram),
            Ok(datagram) => self.advertised(own, from, &datagram),
            // Anybody can forge the address, so this is no answer.
            Err(error) if self.is_server(from) => self.malformed(*from.ip(), bytes.len(), error),
            Err(_) => {}
        }
        self.tick(now);
    }

    fn is_server(&self, from: SocketAddrV4) -> bool {
        let ServerAddress { primary, secondary } = self.server;
        from.port() == PORT && (*from.ip() == primary || *from.ip() == secondary)
    }

    fn malformed(&mut self, from: Ipv4Addr, length: usize, error: ParseError) {
        match self.malformed.iter_mut().find(|one| one.from == from) {
            Some(one) => one.count = one.count.saturating_add(1),
            // At most three: the second address changes once.
            None => self.malformed.push(Malformed {
                from,
                count: 1,
                first: (length, error),
            }),
        }
    }

    /// The message that this answers, if it came to the port from which that was sent.
    fn find(&self, own: Own, matches: impl Fn(&Token) -> bool) -> Option<Sent> {
        let mut sent = self.sent.iter();
        sent.find(|sent| sent.from == own && matches(&sent.token))
            .cloned()
    }

    fn answer(&mut self, test: Test, mapping: Option<SocketAddrV4>) {
        let series = &mut self.series[test as usize];
        series.answer.get_or_insert(mapping);
    }

    fn advertised(&mut self, own: Own, from: SocketAddrV4, datagram: &Datagram<'_>) {
        let destination = datagram.packet.destination();
        let nonce = datagram.authentication.map(|element| element.nonce);
        // Before the nonces: the one that a faulty server gives away may be that of another of our ports.
        if self
            .find(own, |token| *token == Token::Source(destination))
            .is_some()
        {
            if let Some(element) = datagram.authentication
                && self.is_server(from)
            {
                let nonce = u64::from_be_bytes(element.nonce);
                self.note(finding::NONCE_LEAKED.found(format!(
                    "a solicitation without a nonce was answered with the nonce {nonce:016x} of another one"
                )));
            }
            return self.answer(Test::NoNonce, None);
        }
        let by_nonce = nonce.and_then(|nonce| {
            self.find(
                own,
                |token| matches!(token, Token::Nonce(sent, _) if *sent == nonce),
            )
        });
        if let Some(sent) = by_nonce {
            return self.answered(&sent, from, datagram);
        }
        if !self.is_server(from) {
            return;
        }
        let ours = self.find(
            own,
            |token| matches!(token, Token::Nonce(_, source) if *source == destination),
        );
        match (nonce, ours) {
            (None, Some(_)) => {
                self.heard = true;
                self.note(finding::NONCE_MISSING.found(format!(
                    "{} answers without the nonce that it was sent",
                    from.ip()
                )));
            }
            _ => self.forged = self.forged.saturating_add(1),
        }
    }

    /// Takes in an answer with the nonce of `sent`.
    fn answered(&mut self, sent: &Sent, from: SocketAddrV4, datagram: &Datagram<'_>) {
        let Token::Nonce(_, source) = sent.token else {
            return;
        };
        self.heard = true;
        let is_cone = matches!(
            sent.test,
            Test::StrangerCone
                | Test::KnockerCone
                | Test::ConePrimary
                | Test::ConeSecondary
                | Test::SpareCone
        );
        if from.port() != PORT {
            return self.note(finding::ANSWER_PORT.found(format!(
                "{} answered from port {}, not from port 3544",
                from.ip(),
                from.port()
            )));
        }
        let asked = *sent.to.ip();
        let other = if asked == self.server.primary {
            self.server.secondary
        } else {
            self.server.primary
        };
        if is_cone && *from.ip() == asked {
            self.cone_ignored = true;
            return;
        }
        if is_cone && *from.ip() != other {
            if sent.test == Test::SpareCone {
                self.found_secondary(*from.ip());
            }
            return;
        }
        if !is_cone && *from.ip() != asked {
            return self.note(finding::ANSWER_ELSEWHERE.found(format!(
                "a solicitation to {asked} was answered from {}",
                from.ip()
            )));
        }
        let verdict = judge::advertisement(datagram, source);
        for finding in verdict.findings {
            self.note(finding);
        }
        let Some(accepted) = verdict.accepted else {
            return;
        };
        if sent.test == Test::BadChecksum {
            self.note(
                finding::UNCHECKED.found("a solicitation with a wrong checksum was answered"),
            );
            return self.answer(sent.test, None);
        }
        if accepted.server != self.server.primary {
            return self.other_server(asked, accepted.server);
        }
        self.time(asked, sent.at, is_cone);
        self.answer(sent.test, Some(accepted.mapped));
    }

    fn time(&mut self, asked: Ipv4Addr, at: Instant, is_cone: bool) {
        let trip = self.now - at;
        let index = usize::from(asked != self.server.primary);
        if !is_cone {
            let best = self.rtt[index].unwrap_or(trip);
            self.rtt[index] = Some(best.min(trip));
        }
    }

    /// The prefix of the answer is another server's.
    fn other_server(&mut self, asked: Ipv4Addr, named: Ipv4Addr) {
        if asked == self.server.primary {
            self.other_primary = Some(named);
            self.note(finding::NAMED_BY_SECONDARY.found(format!(
                "{asked} is an address of the server {named}: use {named}"
            )));
        } else {
            self.note(finding::SECONDARY_OWN_PREFIX.found(format!(
                "the secondary address {asked} advertises the prefix of {named}, not that of {}",
                self.server.primary
            )));
        }
    }

    /// The answer to a solicitation with the cone bit shows the server's real second address. The nonce shows that it
    /// comes from the server that was asked.
    fn found_secondary(&mut self, address: Ipv4Addr) {
        if self.is_answered(Test::AskSecondary) || self.server.secondary != self.given.secondary {
            return;
        }
        self.note(finding::SECONDARY_OTHER.found(format!(
            "the server's other address is {address}, not {}: use {},{address}",
            self.given.secondary, self.given.primary
        )));
        self.server.secondary = address;
        for test in [Test::AskSecondary, Test::StrangerPlain, Test::KnockerPlain] {
            self.series[test as usize] = Series::default();
        }
    }

    /// Takes in a bubble that one of the tests sent on its way.
    fn bubbled(&mut self, own: Own, from: SocketAddrV4, datagram: &Datagram<'_>) {
        let token = Token::Bubble(datagram.packet.source(), datagram.packet.destination());
        let mut sent = self.sent.iter();
        let Some(Sent {
            test, from: sender, ..
        }) = sent.find(|sent| sent.token == token).cloned()
        else {
            return;
        };
        let receiver = match test {
            Test::StrangerBubble => Own::Stranger,
            Test::KnockerBubble => Own::Knocker,
            Test::Hairpin if sender == Own::Main => Own::Spare,
            _ => Own::Main,
        };
        let by_server = from == SocketAddrV4::new(self.server.primary, PORT);
        if own != receiver || by_server == (test == Test::Hairpin) {
            return;
        }
        self.answer(test, None);
        let behind = datagram.trailers.as_bytes().len();
        match test {
            Test::BubbleSelf => self.check_forwarded(datagram, behind),
            Test::LongBubble if behind >= LONG => self.note(
                finding::OPEN_RELAY.found(format!("{behind} bytes behind a bubble were forwarded")),
            ),
            Test::SpoofedBubble => self.note(finding::SPOOFED.found(
                "a bubble was forwarded whose Teredo source names another port than its sender has",
            )),
            _ => {}
        }
    }

    fn check_forwarded(&mut self, datagram: &Datagram<'_>, behind: usize) {
        let expected = self.mapping(Test::AskPrimary);
        let origin = datagram.origin.map(|origin| origin.0);
        if origin != expected {
            let text = match origin {
                None => String::from("the server forwards bubbles without an origin indication"),
                Some(origin) => format!("the server forwards our bubble with the origin {origin}"),
            };
            self.note(finding::BUBBLE_ORIGIN.found(text));
        }
        if behind == 0 {
            self.note(finding::BUBBLE_CUT.found("the trailer behind a bubble did not arrive"));
        }
    }
}
