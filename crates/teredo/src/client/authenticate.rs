//! Solicitations that prove who asks, and advertisements that prove who answers (RFC 4380 §5.2.2).
//!
//! A server for which there are [`Credentials`] is asked with the identifier and a keyed hash, and believed with a
//! keyed hash alone. Any other server is asked with a nonce, and believed with the nonce. Nothing but this exchange is
//! protected: bubbles and data carry no element (R4380-5.2.2-10).

use std::net::Ipv6Addr;

use super::{Client, Event, ServerAddress};
use crate::wire::{Authentication, Datagram, emit_router_solicitation};
use crate::{Credentials, DropReason};

impl Client {
    /// Whether an advertisement has the secret that this server was asked with (R4380-5.2.2-07). That it has the nonce, the caller
    /// has seen to.
    pub(super) fn check_secret(
        &self,
        server: ServerAddress,
        datagram: &Datagram<'_>,
    ) -> Result<(), DropReason> {
        let Some(Credentials { identifier, secret }) = self.config.keyring.get(server.primary)
        else {
            return Ok(());
        };
        let same = datagram
            .authentication
            .is_some_and(|element| element.identifier == identifier.as_bytes());
        if same && datagram.verify(secret) {
            Ok(())
        } else {
            Err(DropReason::Unauthenticated)
        }
    }

    /// What a server that has proven itself says of the key. The advertisement is good either way (R4380-5.2.2-06, A-03).
    pub(super) fn note_confirmation(&mut self, server: ServerAddress, datagram: &Datagram<'_>) {
        let server = server.primary;
        // Without a key, the byte is about nothing.
        if self.config.keyring.get(server).is_none() {
            return;
        }
        let valid = datagram
            .authentication
            .is_none_or(|element| element.confirmation == 0);
        let changed = if valid {
            self.retired_keys.remove(&server)
        } else {
            self.retired_keys.insert(server)
        };
        if changed {
            self.events.push_back(Event::KeyValidity { server, valid });
        }
    }
}

/// A router solicitation behind a nonce (R4380-5.2.2-01, R4380-5.2.2-04, R4380-7.2.1-01), with the confirmation byte 0
/// (R4380-5.2.2-05), and with the client's identifier and the keyed hash where it has a secret (R4380-5.2-02).
pub(super) fn emit_solicitation(
    nonce: [u8; 8],
    credentials: Option<&Credentials>,
    source: Ipv6Addr,
    out: &mut Vec<u8>,
) {
    let Some(Credentials { identifier, secret }) = credentials else {
        Authentication::nonce_only(nonce).emit(out);
        emit_router_solicitation(source, out);
        return;
    };
    let mut solicitation = Vec::with_capacity(48);
    emit_router_solicitation(source, &mut solicitation);
    Authentication {
        identifier: identifier.as_bytes(),
        value: &secret.sign(nonce, 0, &solicitation),
        nonce,
        confirmation: 0,
    }
    .emit(out);
    out.extend_from_slice(&solicitation);
}
