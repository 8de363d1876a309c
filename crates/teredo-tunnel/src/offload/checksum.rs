//! The Internet checksum (RFC 1071) at the speed of memory.
//!
//! The sum is taken over 32-bit words in the machine's byte order, in lanes of 64 bits that cannot overflow over any
//! packet: additions without a dependency between them, which the compiler turns into vector instructions. The byte
//! order is put right at the end, once (RFC 1071 §2 (B)).

/// The bytes of one round: as many lanes as it has words.
const ROUND: usize = 64;
const LANES: usize = ROUND / 4;

/// A sum of 16-bit words in the machine's byte order, before it is folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Sum {
    /// The words of `bytes`. An odd last byte is followed by a zero, so only the last part may be of odd length.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut lanes = [0; LANES];
        let (rounds, rest) = bytes.as_chunks::<ROUND>();
        for round in rounds {
            add(&mut lanes, round);
        }
        finish(lanes, rest)
    }

    /// Copies `from` to `to`, which is as long, and sums it on the way.
    pub(super) fn copying(to: &mut [u8], from: &[u8]) -> Self {
        let mut lanes = [0; LANES];
        let (rounds, rest) = from.as_chunks::<ROUND>();
        let (targets, tail) = to.as_chunks_mut::<ROUND>();
        for (target, round) in targets.iter_mut().zip(rounds) {
            *target = *round;
            add(&mut lanes, round);
        }
        tail.copy_from_slice(rest);
        finish(lanes, rest)
    }

    /// A number as the pseudo-header has it.
    pub(super) fn number(value: usize) -> Self {
        // No packet is longer than 16 bits can say by more than its header.
        Self(u64::from((value as u32).to_be()))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum in 16 bits, as it is written into a packet.
    pub(super) fn folded(self) -> [u8; 2] {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        (sum as u16).to_ne_bytes()
    }

    /// The checksum that makes the whole right.
    pub(super) fn checksum(self) -> [u8; 2] {
        let [high, low] = self.folded();
        [!high, !low]
    }

    /// The same, but never zero, which for UDP would mean that there is none (RFC 768). Both of ones' complement's
    /// zeros are right.
    pub(super) fn nonzero_checksum(self) -> [u8; 2] {
        match self.checksum() {
            [0, 0] => [0xff, 0xff],
            checksum => checksum,
        }
    }

    /// Whether what was summed, its checksum included, is as it was sent.
    pub(super) fn is_right(self) -> bool {
        self.folded() == [0xff, 0xff]
    }
}

/// The pseudo-header of `packet`, which begins with an IPv6 header, less the length (RFC 8200 §8.1).
pub(super) fn pseudo_header(packet: &[u8], protocol: u8) -> Sum {
    Sum::of(&packet[8..40]).plus(Sum::number(protocol.into()))
}

fn add(lanes: &mut [u64; LANES], round: &[u8; ROUND]) {
    let (words, _) = round.as_chunks::<4>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane += u64::from(u32::from_ne_bytes(*word));
    }
}

fn finish(lanes: [u64; LANES], rest: &[u8]) -> Sum {
    let mut sum: u64 = lanes.iter().sum();
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    Sum(sum + u64::from(u32::from_ne_bytes(last)))
}

#[cfg(test)]
mod tests;
