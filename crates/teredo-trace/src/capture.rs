//! Capture files, frame by frame: the classic format, and pcapng (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng).

use std::time::Duration;

use pcap_parser::nom;
use pcap_parser::pcapng::{
    Block, InterfaceDescriptionBlock, parse_block_be, parse_block_le, parse_sectionheaderblock,
};
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{
    Linktype, PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

/// The first bytes of a section of a pcapng file, in either byte order.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// More interfaces in one section than any host has; the frames of further ones have an unknown link type.
const MOST_INTERFACES: usize = 4096;
/// The resolution of time stamps in pcapng files that name none: microseconds.
const TICKS_PER_SECOND: u128 = 1_000_000;
/// The type of the packet blocks that enhanced ones replaced.
const OBSOLETE_PACKET: u32 = 2;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// There is not a single byte.
    #[error("the file is empty")]
    Empty,
    /// The file was compressed after it was captured.
    #[error("the file is compressed with {0}")]
    Compressed(&'static str),
    /// The first bytes are those of no known format.
    #[error("the file begins neither like pcap nor like pcapng")]
    NotACapture,
    /// The file ends before the first packet can begin.
    #[error("the file ends in the middle of its header")]
    Truncated,
}

/// Why the rest of a file could not be read. The frames before it are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The program that captured was killed, or the disk was full.
    #[error("the file ends in the middle of a packet")]
    Truncated,
    /// The structure of the file is broken.
    #[error("the file is damaged behind this packet")]
    Malformed,
}

/// How frames begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkType {
    /// With an Ethernet header.
    Ethernet,
    /// With the IP header at once.
    RawIp,
    /// With the 16 bytes of Linux' "cooked" capture.
    LinuxCooked,
    /// With the 20 bytes of its second version.
    LinuxCooked2,
    /// With the 4 bytes of a BSD loopback interface.
    Loopback,
    /// In a way that is not known here; with its number.
    Other(u16),
}

impl LinkType {
    /// The link type of a number in a file (<https://www.tcpdump.org/linktypes.html>).
    fn from_number(number: Linktype) -> Self {
        // The upper bits of the classic format tell the length of a frame check sequence.
        match number.0 as u16 {
            1 => Self::Ethernet,
            // 12 and 14: DLT_RAW of Linux and OpenBSD, which some programs write instead of 101. 228: IPv4 alone.
            12 | 14 | 101 | 228 => Self::RawIp,
            113 => Self::LinuxCooked,
            276 => Self::LinuxCooked2,
            0 | 108 => Self::Loopback,
            other => Self::Other(other),
        }
    }
}

/// A captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Since 1970, UTC.
    pub time: Duration,
    /// Whether the file has this time; otherwise it is that of the frame before.
    pub has_time: bool,
    /// How it begins.
    pub link: LinkType,
    /// The bytes that were kept.
    pub bytes: &'a [u8],
    /// The number of bytes that it had on the wire.
    pub length: usize,
}

/// The frames of a file, in its order.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    format: Format,
    damage: Option<Damage>,
    /// The time of the previous frame, for those without one.
    time: Duration,
}

#[derive(Clone, Debug)]
enum Format {
    Classic(PcapHeader),
    NextGeneration {
        big_endian: bool,
        interfaces: Vec<Interface>,
    },
}

/// An interface of a pcapng section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    ticks_per_second: u128,
    offset: i64,
    /// The most bytes of a frame that were kept; 0 if there is no limit.
    snap_length: u32,
}

impl<'a> Frames<'a> {
    /// The frames of a file with these bytes.
    ///
    /// # Errors
    ///
    /// The bytes are those of no capture file.
    pub fn new(file: &'a [u8]) -> Result<Self, CaptureError> {
        const COMPRESSED: [(&[u8], &str); 4] = [
            (&[0x1f, 0x8b], "gzip"),
            (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
            (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
            (b"BZh", "bzip2"),
        ];
        if file.is_empty() {
            return Err(CaptureError::Empty);
        }
        if let Some((_, name)) = COMPRESSED.iter().find(|(magic, _)| file.starts_with(magic)) {
            return Err(CaptureError::Compressed(name));
        }
        let (rest, format) = if file.starts_with(&SECTION) {
            let (_, section) = parse_sectionheaderblock(file).map_err(header_error)?;
            let format = Format::NextGeneration {
                big_endian: section.big_endian(),
                interfaces: Vec::new(),
            };
            // The loop reads the section again, as it reads later ones.
            (file, format)
        } else {
            let (rest, header) = parse_pcap_header(file).map_err(header_error)?;
            (rest, Format::Classic(header))
        };
        Ok(Self {
            rest,
            format,
            damage: None,
            time: Duration::ZERO,
        })
    }

    /// Why the file could not be read to its end; meaningful after the last frame.
    pub const fn damage(&self) -> Option<Damage> {
        self.damage
    }

    /// Ends the iteration.
    fn damaged<T, E>(&mut self, error: &nom::Err<E>) -> Option<T> {
        self.damage = Some(match error {
            nom::Err::Incomplete(_) => Damage::Truncated,
            nom::Err::Error(_) | nom::Err::Failure(_) => Damage::Malformed,
        });
        self.rest = &[];
        None
    }

    fn next_classic(&mut self, header: &PcapHeader) -> Option<Frame<'a>> {
        let parsed = if header.is_bigendian() {
            parse_pcap_frame_be(self.rest)
        } else if header.is_modified_format() {
            parse_pcap_frame_modified(self.rest)
        } else {
            parse_pcap_frame(self.rest)
        };
        let (rest, frame) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return self.damaged(&error),
        };
        self.rest = rest;
        let unit = if header.is_nanosecond_precision() {
            Duration::from_nanos(1)
        } else {
            Duration::from_micros(1)
        };
        Some(Frame {
            // Fractions above a second occur in damaged files.
            time: Duration::from_secs(frame.ts_sec.into()) + unit * frame.ts_usec,
            has_time: true,
            link: LinkType::from_number(header.network),
            bytes: frame.data,
            length: frame.origlen as usize,
        })
    }

    /// The next frame of a pcapng file; blocks without one are skipped.
    fn next_generation(&mut self) -> Option<Frame<'a>> {
        while !self.rest.is_empty() {
            let Format::NextGeneration {
                big_endian,
                interfaces,
            } = &mut self.format
            else {
                return None;
            };
            let parsed = if self.rest.starts_with(&SECTION) {
                parse_sectionheaderblock(self.rest)
                    .map(|(rest, section)| (rest, Block::SectionHeader(section)))
            } else if *big_endian {
                parse_block_be(self.rest)
            } else {
                parse_block_le(self.rest)
            };
            let (rest, block) = match parsed {
                Ok(parsed) => parsed,
                Err(error) => return self.damaged(&error),
            };
            let (before, start) = (self.rest, rest.len());
            self.rest = rest;
            match block {
                Block::SectionHeader(section) => {
                    *big_endian = section.big_endian();
                    interfaces.clear();
                }
                Block::InterfaceDescription(interface) if interfaces.len() < MOST_INTERFACES => {
                    interfaces.push(Interface::new(&interface));
                }
                Block::EnhancedPacket(packet) => {
                    let interface = usize::try_from(packet.if_id)
                        .ok()
                        .and_then(|index| interfaces.get(index));
                    let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                    self.time = interface.map_or(self.time, |interface| interface.time(ticks));
                    let kept = packet.packet_data().len();
                    return Some(Frame {
                        time: self.time,
                        has_time: interface.is_some(),
                        link: link_of(interface),
                        // Eight fields of four bytes stand before the data, with the length of the block.
                        bytes: within(before, start, 28, kept),
                        length: packet.origlen as usize,
                    });
                }
                Block::Unknown(block) if block.block_type == OBSOLETE_PACKET => {
                    let Some(packet) = ObsoletePacket::read(block.data, *big_endian) else {
                        self.damage = Some(Damage::Malformed);
                        self.rest = &[];
                        return None;
                    };
                    let interface = interfaces.get(usize::from(packet.interface));
                    self.time =
                        interface.map_or(self.time, |interface| interface.time(packet.ticks));
                    return Some(Frame {
                        time: self.time,
                        has_time: interface.is_some(),
                        link: link_of(interface),
                        bytes: within(before, start, 28, packet.kept),
                        length: packet.length,
                    });
                }
                Block::SimplePacket(packet) => {
                    let interface = interfaces.first();
                    let limit = match interface.map_or(0, |interface| interface.snap_length) {
                        0 => usize::MAX,
                        limit => limit as usize,
                    };
                    let length = packet.origlen as usize;
                    let kept = packet.data.len().min(length).min(limit);
                    return Some(Frame {
                        time: self.time,
                        has_time: false,
                        link: link_of(interface),
                        bytes: within(before, start, 12, kept),
                        length,
                    });
                }
                _ => {}
            }
        }
        None
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        match &self.format {
            Format::Classic(header) => {
                let header = header.clone();
                self.next_classic(&header)
            }
            Format::NextGeneration { .. } => self.next_generation(),
        }
    }
}

/// The data of a block that stands in front of the last `behind` bytes of `file`. The parser's own slice lives only as
/// long as its block.
fn within(file: &[u8], behind: usize, offset: usize, length: usize) -> &[u8] {
    let block = file.len().saturating_sub(behind);
    file.get(..block)
        .and_then(|block| block.get(offset..offset.saturating_add(length)))
        .unwrap_or_default()
}

fn link_of(interface: Option<&Interface>) -> LinkType {
    interface.map_or(LinkType::Other(u16::MAX), |interface| interface.link)
}

/// The fields of an obsolete packet block (draft-ietf-opsawg-pcapng §B). Old programs wrote it, and the parser does not
/// read it.
struct ObsoletePacket {
    interface: u16,
    ticks: u64,
    kept: usize,
    length: usize,
}

impl ObsoletePacket {
    fn read(body: &[u8], big_endian: bool) -> Option<Self> {
        // Interface, drops, two halves of the time, both lengths.
        let (fields, data) = body.split_first_chunk::<20>()?;
        let word = |at: usize| {
            let bytes = *fields.get(at..)?.first_chunk::<4>()?;
            Some(if big_endian {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            })
        };
        let bytes = *fields.first_chunk::<2>()?;
        let kept = usize::try_from(word(12)?).ok()?;
        Some(Self {
            interface: if big_endian {
                u16::from_be_bytes(bytes)
            } else {
                u16::from_le_bytes(bytes)
            },
            ticks: u64::from(word(4)?) << 32 | u64::from(word(8)?),
            kept: (kept <= data.len()).then_some(kept)?,
            length: usize::try_from(word(16)?).ok()?,
        })
    }
}

fn header_error<E>(error: nom::Err<E>) -> CaptureError {
    match error {
        nom::Err::Incomplete(_) => CaptureError::Truncated,
        nom::Err::Error(_) | nom::Err::Failure(_) => CaptureError::NotACapture,
    }
}

impl Interface {
    fn new(block: &InterfaceDescriptionBlock<'_>) -> Self {
        // The upper bit chooses powers of 2 instead of 10. Ten to the 38th still fits.
        let exponent = u32::from(block.if_tsresol & 0x7f);
        let base: u128 = if block.if_tsresol & 0x80 == 0 { 10 } else { 2 };
        Self {
            link: LinkType::from_number(block.linktype),
            ticks_per_second: base.checked_pow(exponent).unwrap_or(TICKS_PER_SECOND),
            offset: block.if_tsoffset,
            snap_length: block.snaplen,
        }
    }

    fn time(&self, ticks: u64) -> Duration {
        let ticks = u128::from(ticks);
        let seconds = u64::try_from(ticks / self.ticks_per_second).unwrap_or(u64::MAX);
        let part = ticks % self.ticks_per_second;
        // Of resolutions so fine that the product overflows, no part of a nanosecond is lost.
        let nanos = part
            .checked_mul(NANOS_PER_SECOND)
            .map_or(0, |scaled| scaled / self.ticks_per_second);
        let nanos = u32::try_from(nanos).unwrap_or(0);
        Duration::new(seconds.saturating_add_signed(self.offset), nanos)
    }
}

#[cfg(test)]
mod tests;
