//! The programs of the path in the kernel, loaded once, and run on one packet at a time (`BPF_PROG_TEST_RUN`).
//!
//! The entry of the peer is written here by hand: its layout is part of what is compared.

use std::cell::RefCell;
use std::net::Ipv6Addr;

use arbitrary::Arbitrary;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData};
use aya::programs::{ProgramError, SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../crates/teredo-bpf/object/path.o");

/// `TC_ACT_REDIRECT`: the program carries the packet.
pub const CARRIED: i32 = 7;
/// `TC_ACT_UNSPEC`: user space decides.
pub const LEFT: i32 = -1;

/// The kernel takes the bytes from 12 to 14 for the type of a frame. For `encapsulate`, whose packets have no Ethernet
/// header, they are part of the source address, which therefore has the type of IPv6 there.
pub const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0, 0x86dd, 0x22d, 0, 0x63bf, 0x3fff, 0xfdd2);
pub const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x86dd, 0, 0, 0, 0, 1);
pub const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0, 0x86dd, 0x22d, 0, 0x63bf, 0x39cc, 0x9bf8);
/// From us to the peer: addresses, and ports.
pub const LOCAL: ([u8; 4], u16) = ([192, 0, 2, 45], 0x9c41);
pub const REMOTE: ([u8; 4], u16) = ([198, 51, 100, 7], 0x9c40);
pub const TTL: u8 = 57;

/// The native network that the relay carries packets of, and the part of it that it does not.
const SERVED: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2001, 0xdb8, 0x86dd, 0, 0, 0, 0, 0), 48);
const NOT_SERVED: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2001, 0xdb8, 0x86dd, 0xffff, 0, 0, 0, 0), 64);

/// Where `gso_size` is in `struct __sk_buff`, and the length of that.
const GSO_SIZE: usize = 176;
const CONTEXT: usize = 192;
/// The shortest packet that the kernel runs a program on: the header of Ethernet, and that of IPv6 behind it.
pub const SHORTEST: usize = 14 + 40;

/// The length of an entry.
const ENTRY: usize = 192;
/// So long that no proof is too old, and no packet asks the stack.
const INTERVAL: u64 = 1 << 60;
/// A time that comes never, and one that was before the boot but for one nanosecond.
const NEVER: u64 = 1 << 61;
const LONG_AGO: u64 = 1;

/// The state of the path and of the peer's entry.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct State {
    relay: bool,
    needs_checksums: bool,
    /// The longest packet for the peer, if not 1280 bytes.
    longest: Option<u16>,
    doubt: Option<Doubt>,
}

/// A reason to carry nothing.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    Closed,
    Unproven,
    Silent,
    Interface,
}

impl State {
    pub fn longest(&self) -> usize {
        self.longest.map_or(1280, usize::from)
    }

    pub fn needs_checksums(&self) -> bool {
        self.needs_checksums
    }

    /// Whether packets of the peer may be carried at all; only what is sent waits for the peer to be heard.
    pub fn is_open(&self, sends: bool) -> bool {
        match self.doubt {
            None => true,
            Some(Doubt::Silent) => !sends,
            Some(Doubt::Closed | Doubt::Unproven | Doubt::Interface) => false,
        }
    }

    /// This side's address in a packet that the fuzzer makes.
    pub fn own(&self) -> Ipv6Addr {
        if self.relay { NATIVE } else { OWN }
    }

    /// Whether a packet may have this address of this side.
    pub fn is_own(&self, address: Ipv6Addr) -> bool {
        let is_in = |(network, len): (Ipv6Addr, u32)| {
            (address.to_bits() ^ network.to_bits()) >> (128 - len) == 0
        };
        if self.relay {
            is_in(SERVED) && !is_in(NOT_SERVED)
        } else {
            address == OWN
        }
    }

    /// `struct peer` of `path.h`, of a peer that has shown no path of its own (`bare`).
    fn entry(&self) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
        let has = |doubt| self.doubt == Some(doubt);
        let interface = 1 + u32::from(has(Doubt::Interface));
        put(0, &OWN.octets());
        put(16, &LOCAL.0);
        put(20, &REMOTE.0);
        put(24, &LOCAL.1.to_be_bytes());
        put(26, &REMOTE.1.to_be_bytes());
        put(28, &self.longest.unwrap_or(1280).to_ne_bytes());
        put(
            30,
            &[
                TTL,
                u8::from(self.relay) | u8::from(self.needs_checksums) << 1,
            ],
        );
        put(32, &interface.to_ne_bytes());
        put(36, &interface.to_ne_bytes());
        let heard = if has(Doubt::Silent) { LONG_AGO } else { NEVER };
        put(40, &heard.to_ne_bytes());
        let proof = if has(Doubt::Unproven) {
            LONG_AGO
        } else {
            NEVER
        };
        put(56, &proof.to_ne_bytes());
        put(64, &proof.to_ne_bytes());
        entry
    }
}

struct Programs {
    ebpf: Ebpf,
    peers: HashMap<MapData, [u8; 16], [u8; ENTRY]>,
    control: Array<MapData, u64>,
}

impl Programs {
    fn load() -> Result<Self, Box<dyn std::error::Error>> {
        let mut ebpf = EbpfLoader::new().btf(None).load(OBJECT)?;
        let mut map = |name: &str| ebpf.take_map(name).ok_or("a map is not there");
        let (peers, control) = (map("peers")?, map("control")?);
        let mut natives: LpmTrie<MapData, [u8; 16], u32> = map("natives")?.try_into()?;
        for ((network, len), carried) in [(SERVED, 1), (NOT_SERVED, 0)] {
            natives.insert(&Key::new(len, network.octets()), carried, 0)?;
        }
        for name in ["encapsulate", "decapsulate"] {
            let program = ebpf.program_mut(name).ok_or("a program is not there")?;
            let program: &mut SchedClassifier = program.try_into()?;
            program.load()?;
        }
        Ok(Self {
            ebpf,
            peers: peers.try_into()?,
            control: control.try_into()?,
        })
    }

    fn run(
        &mut self,
        name: &str,
        state: &State,
        gso_size: u16,
        bytes: &[u8],
    ) -> Option<(i32, Vec<u8>)> {
        let since = match state.doubt {
            Some(Doubt::Closed) => 0,
            _ => LONG_AGO + 1,
        };
        for (index, value) in [since, INTERVAL].into_iter().enumerate() {
            self.control
                .set(index as u32, value, 0)
                .expect("an array has its elements");
        }
        let inserted = self.peers.insert(PEER.octets(), state.entry(), 0);
        inserted.expect("there is room for a peer");
        let mut context = [0; CONTEXT];
        context[GSO_SIZE..GSO_SIZE + 2].copy_from_slice(&gso_size.to_ne_bytes());
        let mut out = vec![0; bytes.len() + 256];
        let program = self.ebpf.program(name).expect("it was loaded");
        let program: &SchedClassifier = program.try_into().expect("it is a classifier");
        let result = program.test_run(TestRunOptions {
            data_in: Some(bytes),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        });
        let result = match result {
            Err(ProgramError::SyscallError(_)) if bytes.len() < SHORTEST => return None,
            result => result.expect("the kernel runs the program"),
        };
        out.truncate(result.data_size_out as usize);
        Some((result.return_value as i32, out))
    }
}

/// The verdict of a program on a packet or frame, and the packet or frame as it is then. `None` if the kernel does not run
/// a program on so few bytes.
///
/// # Panics
/// Without root, or on a kernel that does not load the programs.
pub fn run(name: &str, state: &State, gso_size: u16, bytes: &[u8]) -> Option<(i32, Vec<u8>)> {
    thread_local! {
        static PROGRAMS: RefCell<Option<Programs>> = const { RefCell::new(None) };
    }
    PROGRAMS.with_borrow_mut(|programs| {
        let programs = programs.get_or_insert_with(|| match Programs::load() {
            Ok(programs) => programs,
            Err(error) => panic!("this takes root, and a kernel with BPF (Linux 6.6): {error}"),
        });
        programs.run(name, state, gso_size, bytes)
    })
}

/// The sum of 16-bit words (RFC 1071), not inverted.
pub fn sum(words: &[u8]) -> u16 {
    let sum: u32 = words
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | word.get(1).copied().map_or(0, u32::from))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
