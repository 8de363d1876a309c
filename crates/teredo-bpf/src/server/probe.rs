//! Whether this kernel runs the program that answers: a solicitation is passed to it, and its answer looked at.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use aya::programs::{TestRun, TestRunOptions};

use super::serving::{self, AttachedTo, Mode, Serving};
use super::{ANSWER, Advertisement, Server, Source};
use crate::bytes::put;
use crate::entry::nanos;
use crate::error::{PathError, not_attached};
use crate::path::now;

/// `XDP_TX`.
pub(super) const SENT: u32 = 3;

/// The loopback, which a test run pretends to be on.
pub(super) const INTERFACE: NonZeroU32 = NonZeroU32::MIN;

pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(super) const CLIENT: [u8; 4] = [192, 0, 2, 2];

/// The lengths of a solicitation and its answer, with all headers.
const QUESTION_LEN: usize = 14 + 20 + 8 + 48;
const ANSWER_LEN: usize = QUESTION_LEN + 56;

/// Passes a solicitation to a server that nothing else uses.
pub(super) fn probe(mut server: Server) -> Result<(), PathError> {
    server.advertise(0, &[0; size_of::<Advertisement>()])?;
    server.set_sources(vec![Source {
        network: CLIENT.into(),
        len: 32,
        interface: Some(INTERFACE),
    }])?;
    server.open()?;
    let serving = Serving {
        other: None,
        pair: 0,
        interface: AttachedTo {
            index: INTERFACE,
            hardware: [0; 6],
            mode: Mode::Native,
        },
        ttl: 64,
    };
    let mut bytes = serving.to_bytes();
    let proof = nanos(now()).to_ne_bytes();
    put(&mut bytes, serving::LET_IN, proof);
    put(&mut bytes, serving::LET_OUT, proof);
    server.addresses.insert(SERVER.octets(), bytes, 0)?;

    let (verdict, answer) = server.run(&question())?;
    let answered = verdict == SENT
        && answer.len() == ANSWER_LEN
        && answer.get(26..30) == Some(&SERVER.octets())
        && answer.get(30..34) == Some(&CLIENT);
    if answered {
        Ok(())
    } else {
        Err(PathError::Probe { verdict })
    }
}

impl Server {
    /// The verdict on a frame of the loopback, and the frame as it is then.
    pub(super) fn run(&mut self, frame: &[u8]) -> Result<(u32, Vec<u8>), PathError> {
        let mut out = vec![0; 2048];
        let result = self
            .xdp()?
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ..TestRunOptions::new()
            })
            .map_err(|error| not_attached(ANSWER, "a frame", error))?;
        out.truncate(result.data_size_out as usize);
        Ok((result.return_value, out))
    }
}

/// A solicitation (RFC 4861 §4.1) without a UDP checksum.
pub(super) fn question() -> [u8; QUESTION_LEN] {
    let mut frame = [0; QUESTION_LEN];
    put(&mut frame, 12, [8, 0]);
    put(&mut frame, 14, [0x45, 0, 0, 76, 0, 0, 0, 0, 64, 17]);
    put(&mut frame, 26, CLIENT);
    put(&mut frame, 30, SERVER.octets());
    put(&mut frame, 34, [0x10, 0, 0x0d, 0xd8, 0, 56, 0, 0]);
    put(&mut frame, 42, [0x60, 0, 0, 0, 0, 8, 58, 255, 0xfe, 0x80]);
    put(&mut frame, 66, [0xff, 2]);
    frame[81] = 2;
    frame[82] = 133;
    let header = !sum(&frame[14..34], 0);
    put(&mut frame, 24, header.to_be_bytes());
    let message = !sum(&frame[50..], 8 + 58);
    put(&mut frame, 84, message.to_be_bytes());
    frame
}

/// The sum of big-endian words, and a number (RFC 1071).
pub(super) fn sum(words: &[u8], more: u32) -> u16 {
    let mut sum = more;
    for word in words.chunks(2) {
        sum += u32::from(word[0]) << 8 | word.get(1).copied().map_or(0, u32::from);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
