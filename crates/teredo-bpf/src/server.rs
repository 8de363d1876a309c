//! The programs for a server, as one value.

mod features;
mod outcome;
mod probe;
mod serving;

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{SchedClassifierLinkId, TcAttachOptions};
use aya::programs::xdp::XdpMode;
use aya::programs::{SchedClassifier, SocketFilter, TcAttachType, Xdp};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use rustix::io::Errno;

pub use outcome::ServerOutcome;
pub use serving::{Answered, AttachedTo, Mode, Serving};

use crate::entry::nanos;
use crate::error::{PathError, not_attached, not_loaded};
use crate::loader;
use crate::path::{is_absence, map, missing, now, wait_for_programs};

/// The programs, compiled by `programs/build`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../object/server.o");

const ANSWER: &str = "answer";
const SAW_IN: &str = "saw_in";
const SAW_OUT: &str = "saw_out";

// The elements of `control`.
const SINCE: u32 = 0;
const INTERVAL: u32 = 1;
const TOKEN: u32 = 2;
const DEPTH: u32 = 3;
const FACTOR: u32 = 4;

/// The value of `since` in a closed path.
const CLOSED: u64 = 0;

/// The length of an advertisement, which is a whole IPv6 packet.
pub const ADVERTISEMENT_LEN: usize = 96;

/// A server's advertisement without destination and checksum.
pub type Advertisement = [u8; ADVERTISEMENT_LEN];

/// The most pairs of addresses.
pub const MOST_PAIRS: u32 = 128;

/// The most networks of [`Server::set_sources`].
pub const MOST_SOURCES: usize = 4096;

/// The number of buckets; see [`Server::buckets`].
pub const BUCKETS: usize = 1 << 16;

/// How often a solicitation of each address asks the stack.
const ASKED_EVERY: Duration = Duration::from_secs(2);

/// The limit of answers to one IPv4 address, as the state machine of the server has it. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketLimit {
    /// The time for one answer.
    pub token: u64,
    /// The time to fill a bucket.
    pub depth: u64,
    /// The factor of the hash by which an address finds its bucket.
    pub factor: u64,
}

/// The network of a source address, and the interface that answers to it leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The network.
    pub network: Ipv4Addr,
    /// Its length in bits.
    pub len: u8,
    /// The interface; `None` for sources that user space answers or refuses.
    pub interface: Option<NonZeroU32>,
}

/// A server's router solicitations, answered in the kernel (RFC 4380 §5.3.2).
///
/// ```text
///            open
///   closed <──────────> open ──┐
///            close             │ require_proof
///                         ^────┘
/// ```
///
/// An open path answers only for addresses that were [inserted](Self::insert), and only while the stack is known to let
/// solicitations to them in and answers from them out. When the value is dropped or the process ends, the kernel detaches the
/// programs.
pub struct Server {
    ebpf: Ebpf,
    addresses: HashMap<MapData, [u8; 4], serving::Bytes>,
    advertisements: Array<MapData, Advertisement>,
    sources: LpmTrie<MapData, [u8; 4], u32>,
    kept_sources: Vec<Source>,
    control: Array<MapData, u64>,
    buckets: MapData,
    answers: PerCpuArray<MapData, u64>,
    outcomes: PerCpuArray<MapData, u64>,
    /// Those of the program that answers and of the one that watches, by the interface's index.
    links: Vec<(NonZeroU32, FdLink, SchedClassifierLinkId)>,
    is_open: bool,
}

/// Whether another program is where this one should be. Which of the two the kernel says depends on how that is attached.
fn is_taken(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::EXIST | Errno::BUSY)
    )
}

impl Server {
    /// Loads the programs into the kernel, which checks them, and tries the one that answers. They are attached to nothing yet.
    ///
    /// # Errors
    ///
    /// [`PathError::NotPermitted`], [`PathError::Refused`] with the verifier's log, [`PathError::Map`],
    /// [`PathError::Probe`].
    pub fn load() -> Result<Self, PathError> {
        probe::probe(Self::load_object(OBJECT)?)?;
        Self::load_object(OBJECT)
    }

    fn load_object(object: &[u8]) -> Result<Self, PathError> {
        if cfg!(target_endian = "big") {
            return Err(PathError::ByteOrder);
        }
        let mut ebpf = loader::load(object, 1)?;
        let Some(Map::Array(buckets)) = ebpf.take_map("buckets") else {
            return Err(missing("buckets"));
        };
        let mut server = Self {
            addresses: map(&mut ebpf, "addresses")?,
            advertisements: map(&mut ebpf, "advertisements")?,
            sources: map(&mut ebpf, "sources")?,
            kept_sources: Vec::new(),
            control: map(&mut ebpf, "control")?,
            buckets,
            answers: map(&mut ebpf, "answers")?,
            outcomes: map(&mut ebpf, "outcomes")?,
            ebpf,
            links: Vec::new(),
            is_open: false,
        };
        server.set_interval(ASKED_EVERY)?;
        let program = server.xdp()?;
        program.load().map_err(|error| not_loaded(ANSWER, error))?;
        let program = server.classifier()?;
        program.load().map_err(|error| not_loaded(SAW_OUT, error))?;
        let program = server.socket_filter()?;
        program.load().map_err(|error| not_loaded(SAW_IN, error))?;
        Ok(server)
    }

    /// Sets how often a solicitation of each address asks the stack. A proof is good for four times that. 2 s.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn set_interval(&mut self, interval: Duration) -> Result<(), PathError> {
        Ok(self.control.set(INTERVAL, nanos(interval).max(1), 0)?)
    }

    /// The memory of the buckets, for user space to take its tokens from the same ones: [`BUCKETS`] numbers of 64 bits, each the
    /// time since boot when a bucket will be full, in nanoseconds. It can be mapped, shared, for reading and writing.
    pub fn buckets(&self) -> BorrowedFd<'_> {
        self.buckets.fd().as_fd()
    }

    /// Sets the limit of answers to one address.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn set_limit(&mut self, limit: Option<BucketLimit>) -> Result<(), PathError> {
        let (token, depth, factor) = limit.map_or((0, 0, 0), |limit| {
            (limit.token.max(1), limit.depth, limit.factor)
        });
        // Without a limit in between, if there was one, there would be none for a moment.
        self.control.set(DEPTH, depth, 0)?;
        self.control.set(FACTOR, factor, 0)?;
        Ok(self.control.set(TOKEN, token, 0)?)
    }

    /// Sets the advertisement of a pair, of which there are [`MOST_PAIRS`].
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn advertise(&mut self, pair: u32, advertisement: &Advertisement) -> Result<(), PathError> {
        Ok(self.advertisements.set(pair, advertisement, 0)?)
    }

    /// Replaces the networks that solicitations may come from. The longest prefix decides, and sources without one are left to
    /// user space. Close the path before: programs see the networks one after the other.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`], also with more than [`MOST_SOURCES`] networks.
    pub fn set_sources(&mut self, sources: Vec<Source>) -> Result<(), PathError> {
        for source in std::mem::take(&mut self.kept_sources) {
            match self.sources.remove(&key(&source)) {
                Err(error) if !is_absence(&error) => return Err(error.into()),
                _ => {}
            }
        }
        self.kept_sources = sources;
        for source in &self.kept_sources {
            let interface = source.interface.map_or(0, NonZeroU32::get);
            self.sources.insert(&key(source), interface, 0)?;
        }
        Ok(())
    }

    /// Adds an address of the server, or replaces its entry as a whole, proofs included. `None`: user space answers for it.
    /// Solicitations that come from any of the addresses are left to user space.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn insert(
        &mut self,
        address: Ipv4Addr,
        serving: Option<&Serving>,
    ) -> Result<(), PathError> {
        let bytes = serving.map_or([0; serving::LEN], |serving| serving.to_bytes());
        Ok(self.addresses.insert(address.octets(), bytes, 0)?)
    }

    /// Removes an address.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn remove(&mut self, address: Ipv4Addr) -> Result<(), PathError> {
        match self.addresses.remove(&address.octets()) {
            Err(error) if !is_absence(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Watches the datagrams that arrive at a socket of the server. Only addresses with watched sockets can be proven.
    ///
    /// A filter that the socket has is replaced, and ours stays until the socket is closed; it takes every datagram.
    ///
    /// # Errors
    ///
    /// [`PathError::Attach`].
    pub fn watch(&mut self, socket: impl AsFd) -> Result<(), PathError> {
        self.socket_filter()?
            .attach(socket)
            .map_err(|error| not_attached(SAW_IN, "the server's port", error))
    }

    /// Attaches to an Ethernet interface, in the driver if `native` permits it and the driver can send what the program answers.
    ///
    /// One end of a virtual link (veth) sends at once only if the other end has a program, too; otherwise the answers wait there for
    /// another packet. The caller finds that out.
    ///
    /// # Errors
    ///
    /// [`PathError::NoInterface`], [`PathError::Kind`], [`PathError::Attach`], also if the interface has another program.
    pub fn attach(&mut self, name: &str, native: bool) -> Result<AttachedTo, PathError> {
        let (index, hardware) = ethernet(name)?;
        self.detach(index);
        // First, so that a kernel that denies links is found out here: `aya` attaches the other program by netlink then.
        let options = TcAttachOptions::TcxOrder(LinkOrder::last());
        let watching = self
            .classifier()?
            .attach_with_options(name, TcAttachType::Egress, options)
            .map_err(|error| not_attached(SAW_OUT, format!("`{name}`"), error))?;
        let (mode, answering) = match self.attach_answer(name, index, native) {
            Ok(attached) => attached,
            Err(error) => {
                self.unwatch(watching);
                return Err(error);
            }
        };
        self.links.push((index, answering, watching));
        Ok(AttachedTo {
            index,
            hardware,
            mode,
        })
    }

    /// An interface that has another name by now is attached to anew, and the kernel takes no program twice.
    fn detach(&mut self, index: NonZeroU32) {
        for (_, answering, watching) in self
            .links
            .extract_if(.., |(of, ..)| *of == index)
            .collect::<Vec<_>>()
        {
            drop(answering);
            self.unwatch(watching);
        }
    }

    fn unwatch(&mut self, link: SchedClassifierLinkId) {
        if let Ok(program) = self.classifier() {
            // It only closes a descriptor.
            let _ = program.detach(link);
        }
    }

    fn attach_answer(
        &mut self,
        name: &str,
        index: NonZeroU32,
        native: bool,
    ) -> Result<(Mode, FdLink), PathError> {
        if native && let Ok(link) = self.attach_in(name, XdpMode::Driver) {
            // Some drivers say so only when a program is attached.
            if features::sends_frames(index).unwrap_or(false) {
                return Ok((Mode::Native, link));
            }
        }
        let link = self.attach_in(name, XdpMode::Skb)?;
        Ok((Mode::Generic, link))
    }

    fn attach_in(&mut self, name: &str, mode: XdpMode) -> Result<FdLink, PathError> {
        let program = self.xdp()?;
        let attached = program.attach(name, mode);
        let link = attached.and_then(|link| program.take_link(link));
        let link =
            link.map_err(
                |error| match not_attached(ANSWER, format!("`{name}`"), error) {
                    PathError::Attach { error, .. } if is_taken(&error) => {
                        PathError::OtherProgram(name.to_owned())
                    }
                    error => error,
                },
            )?;
        // The library may attach by netlink instead, which would outlive a killed process.
        link.try_into().map_err(|_| PathError::Attach {
            program: ANSWER,
            to: format!("`{name}`"),
            error: io::ErrorKind::Unsupported.into(),
        })
    }

    /// Opens a closed path. Nothing is answered before the stack has let a solicitation in and its answer out from now on.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn open(&mut self) -> Result<(), PathError> {
        self.is_open = true;
        self.require_proof()
    }

    /// The rules of the stack may have changed: all proofs are void. A closed path stays closed.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn require_proof(&mut self) -> Result<(), PathError> {
        if self.is_open {
            self.control.set(SINCE, nanos(now()), 0)?;
        }
        Ok(())
    }

    /// Closes the path. At the return, no program is running any more that saw it open. That takes up to some 30 ms.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`]; [`PathError::System`] if the kernel cannot wait for the programs: the path is closed, but an answer may
    /// still be under way.
    pub fn close(&mut self) -> Result<(), PathError> {
        self.is_open = false;
        self.control.set(SINCE, CLOSED, 0)?;
        wait_for_programs()
    }

    /// Whether the path is open.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The answers for a pair so far.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn answered(&self, pair: u32) -> Result<Answered, PathError> {
        let sum = |place: u32| -> Result<u64, PathError> {
            Ok(self.answers.get(&place, 0)?.iter().sum())
        };
        Ok(Answered {
            plain: sum(2 * pair)?,
            authenticated: sum(2 * pair + 1)?,
        })
    }

    /// The number of datagrams with this outcome so far.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn outcome(&self, outcome: ServerOutcome) -> Result<u64, PathError> {
        Ok(self.outcomes.get(&(outcome as u32), 0)?.iter().sum())
    }

    fn xdp(&mut self) -> Result<&mut Xdp, PathError> {
        let program = self.ebpf.program_mut(ANSWER);
        let program = program.ok_or_else(|| missing(ANSWER))?;
        program.try_into().map_err(|_| missing(ANSWER))
    }

    fn classifier(&mut self) -> Result<&mut SchedClassifier, PathError> {
        let program = self.ebpf.program_mut(SAW_OUT);
        let program = program.ok_or_else(|| missing(SAW_OUT))?;
        program.try_into().map_err(|_| missing(SAW_OUT))
    }

    fn socket_filter(&mut self) -> Result<&mut SocketFilter, PathError> {
        let program = self.ebpf.program_mut(SAW_IN);
        let program = program.ok_or_else(|| missing(SAW_IN))?;
        program.try_into().map_err(|_| missing(SAW_IN))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("is_open", &self.is_open)
            .finish_non_exhaustive()
    }
}

fn key(source: &Source) -> Key<[u8; 4]> {
    Key::new(source.len.into(), source.network.octets())
}

/// Index and hardware address of an Ethernet interface.
fn ethernet(name: &str) -> Result<(NonZeroU32, [u8; 6]), PathError> {
    const ARPHRD_ETHER: u16 = 1;
    let absent = || PathError::NoInterface(name.to_owned());
    let index = if_nametoindex(name).map_err(|_| absent())?;
    let index = NonZeroU32::new(index).ok_or_else(absent)?;
    let interfaces = getifaddrs().map_err(io::Error::from);
    let link = interfaces
        .map_err(PathError::system("list the interfaces"))?
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| {
            let address = *interface.address?.as_link_addr()?;
            Some((address.hatype(), address.addr()))
        });
    match link {
        Some((ARPHRD_ETHER, Some(hardware))) => Ok((index, hardware)),
        link => Err(PathError::Kind {
            name: name.to_owned(),
            wanted: "Ethernet interface",
            kind: link.map_or(0xffff, |(kind, _)| kind),
        }),
    }
}

#[cfg(test)]
mod tests;
