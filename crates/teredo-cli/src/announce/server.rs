//! A server's probe: a solicitation to each address of the pair, as a client sends it. No I/O.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::wire::{
    Authentication, Datagram, Flags, Icmpv6, PORT, emit_router_solicitation, link_local,
    server_prefix,
};
use teredo::{Credentials, ServerAddress};

use super::probe::{Datagram as Sent, Prober, Progress, Wrong};

/// Asks both addresses, each from a socket of its own.
#[derive(Debug)]
pub(super) struct ServerProbe {
    pair: ServerAddress,
    /// The identity of a client, if the server serves only those that it knows.
    credentials: Option<Credentials>,
    /// The local ends of the two sockets.
    locals: [SocketAddrV4; 2],
    /// The nonces under way; none where the answer has come.
    asked: [Option<[u8; 8]>; 2],
}

/// The two addresses of a pair, where they listen.
pub(super) fn ends(pair: ServerAddress) -> [SocketAddrV4; 2] {
    [pair.primary, pair.secondary].map(|address| SocketAddrV4::new(address, PORT))
}

impl ServerProbe {
    pub(super) fn new(
        pair: ServerAddress,
        credentials: Option<Credentials>,
        locals: [SocketAddrV4; 2],
    ) -> Self {
        Self {
            pair,
            credentials,
            locals,
            asked: [None; 2],
        }
    }

    /// RFC 4380 §5.2.1, §5.2.2.
    fn solicitation(&self, local: SocketAddrV4, nonce: [u8; 8]) -> Vec<u8> {
        let mut packet = Vec::new();
        emit_router_solicitation(link_local(Flags::default(), local), &mut packet);
        let mut bytes = Vec::new();
        match &self.credentials {
            None => Authentication::nonce_only(nonce).emit(&mut bytes),
            Some(Credentials { identifier, secret }) => Authentication {
                identifier: identifier.as_bytes(),
                value: &secret.sign(nonce, 0, &packet),
                nonce,
                confirmation: 0,
            }
            .emit(&mut bytes),
        }
        bytes.extend_from_slice(&packet);
        bytes
    }

    /// Whether the answer is one to this solicitation, and one of this pair.
    fn check(&self, at: usize, nonce: [u8; 8], bytes: &[u8]) -> Result<(), Wrong> {
        let datagram = Datagram::parse(bytes).map_err(|_| Wrong::Malformed)?;
        if datagram.authentication.map(|element| element.nonce) != Some(nonce) {
            return Err(Wrong::Nonce);
        }
        if let Some(credentials) = &self.credentials
            && !datagram.verify(&credentials.secret)
        {
            return Err(Wrong::Secret);
        }
        if datagram.origin.map(|origin| origin.0) != Some(self.locals[at]) {
            return Err(Wrong::Origin);
        }
        match Icmpv6::parse(&datagram.packet) {
            Ok(Icmpv6::RouterAdvertisement(advertisement)) => {
                let prefixes = advertisement.prefixes.iter().map(|prefix| prefix.prefix);
                let own = server_prefix(self.pair.primary);
                match prefixes.eq([own]) {
                    true => Ok(()),
                    false => Err(Wrong::OtherPair),
                }
            }
            _ => Err(Wrong::Malformed),
        }
    }
}

impl Prober for ServerProbe {
    fn ask(&mut self, token: [u8; 16]) -> Vec<Sent> {
        let (first, second) = token.split_at(8);
        let asked = [first, second].map(|half| half.try_into().ok());
        self.asked = asked;
        let datagram = |at: usize| {
            let payload = self.solicitation(self.locals[at], asked[at]?);
            Some(Sent { from: at, payload })
        };
        (0..2).filter_map(datagram).collect()
    }

    fn received(&mut self, at: usize, bytes: &[u8]) -> Result<Progress, Wrong> {
        let Some(nonce) = self.asked.get(at).copied().flatten() else {
            return Err(Wrong::Nonce);
        };
        self.check(at, nonce, bytes)?;
        self.asked[at] = None;
        Ok(match self.asked {
            [None, None] => Progress::Answered,
            _ => Progress::Send(Vec::new()),
        })
    }

    fn silence(&self) -> String {
        let silent = |address: Ipv4Addr| format!("{address} does not answer");
        match self.asked {
            [Some(_), None] => silent(self.pair.primary),
            [None, Some(_)] => silent(self.pair.secondary),
            _ => "the server does not answer".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
