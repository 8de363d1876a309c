//! A name server that knows one name, and can be silent (RFC 1035).

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use teredo_lab::{Host, Receive as _};

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
/// The answer's time to live, in seconds. glibc keeps nothing.
const TIME_TO_LIVE: [u8; 4] = [0, 0, 0, 1];

/// The name server. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver {
    silent: Arc<AtomicBool>,
    address: Arc<AtomicU32>,
}

impl Resolver {
    /// Answers on port 53 of the host until the process ends.
    pub(crate) fn start(host: &Host, address: Ipv4Addr) -> Result<Self> {
        let resolver = Self::default();
        resolver.set_address(address);
        let socket = host
            .udp_socket((Ipv4Addr::UNSPECIFIED, 53))
            .context("cannot open the resolver's port")?;
        let own = resolver.clone();
        thread::Builder::new()
            .name("soak-resolver".into())
            .spawn(move || own.serve(&socket))
            .context("cannot start a thread")?;
        Ok(resolver)
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Release);
    }

    pub(crate) fn set_address(&self, address: Ipv4Addr) {
        self.address.store(address.to_bits(), Ordering::Release);
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.receive_from(&mut query) {
            if self.silent.load(Ordering::Acquire) {
                continue;
            }
            let address = Ipv4Addr::from_bits(self.address.load(Ordering::Acquire));
            if let Some(answer) = answer(&query[..length], address) {
                // The asker may be gone.
                let _ = socket.send_to(&answer, from);
            }
        }
    }
}

/// The answer to a query: this address, or nothing of another type. None for what is no query.
fn answer(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let header = query.get(..HEADER)?;
    let one_question = header[4..6] == [0, 1];
    if header[2] & 0x80 != 0 || !one_question {
        return None;
    }
    let mut end = HEADER;
    loop {
        let length = usize::from(*query.get(end)?);
        end += 1 + length;
        match length {
            0 => break,
            1..=63 => {}
            _ => return None,
        }
    }
    let question = query.get(HEADER..end + 4)?;
    let is_for_a = question[question.len() - 4..question.len() - 2] == TYPE_A;
    let mut answer = header[..2].to_vec();
    // A response, recursion desired as asked, recursion available, no error; one question, and one answer or none.
    answer.extend([0x80 | header[2] & 0x01, 0x80, 0, 1, 0, u8::from(is_for_a)]);
    answer.extend([0, 0, 0, 0]);
    answer.extend(question);
    if is_for_a {
        // The name is the one at offset 12.
        answer.extend([0xc0, HEADER as u8]);
        answer.extend(TYPE_A);
        answer.extend([0, 1]);
        answer.extend(TIME_TO_LIVE);
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests;
