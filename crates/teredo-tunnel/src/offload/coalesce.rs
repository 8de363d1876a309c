//! Received packets into super-packets for the host's stack.

use std::ops::Range;

use super::checksum::{Sum, pseudo_header};
use super::flow::Segment;
use super::{Cut, Gso, Header, IPV6, LONGEST, Offloads, TCP, UDP, put16, tcp, udp};

/// The most packets in a super-packet; a UDP socket takes no more (`UDP_MAX_SEGMENTS`).
pub(crate) const MAX_PARTS: usize = 64;

/// The flows that are put together at the same time. Of more, the one that was quiet for longest goes on in another
/// super-packet.
const MAX_OPEN: usize = 8;

/// The headers of IPv6 and TCP at their longest.
const MAX_HEADERS: usize = IPV6 + 60;

/// Puts the packets of a batch together.
///
/// The packets stay where they are: it is given an arena and ranges of it, and hands out ranges. Each call gets the
/// same arena until [`Self::clear`].
///
/// Packets of a flow (protocol, addresses, ports) come out in the order in which they went in. A packet that is neither
/// TCP nor UDP, or has extension headers, keeps its place among all packets.
#[derive(Debug)]
pub struct Coalescer {
    offloads: Offloads,
    items: Vec<Item>,
    parts: Vec<Part>,
    /// Items that may grow, the one that grew last in front.
    open: [u32; MAX_OPEN],
    opened: usize,
}

/// The packets of one write: one, or several of a flow.
#[derive(Debug)]
struct Item {
    /// The first packet.
    head: Range<usize>,
    /// The length of its headers; 0 if nothing is known of it.
    headers: usize,
    /// Payload of the first packet.
    segment: usize,
    /// The length of the whole.
    len: usize,
    /// The sequence number that comes next.
    sequence: u32,
    /// Its first packet's checksum is right.
    intact: bool,
    /// Its last packet ends it.
    pushed: bool,
    first: u32,
    last: u32,
    count: usize,
    /// It came as a super-packet, and this describes it.
    uncut: Option<Header>,
}

#[derive(Debug)]
struct Part {
    payload: Range<usize>,
    next: u32,
}

const END: u32 = u32::MAX;

impl Coalescer {
    /// For batches of about `packets` packets. Only the kinds of packets in `offloads` are put together.
    pub fn new(packets: usize, offloads: Offloads) -> Self {
        Self {
            offloads,
            items: Vec::with_capacity(packets),
            parts: Vec::with_capacity(packets),
            open: [0; MAX_OPEN],
            opened: 0,
        }
    }

    /// Begins a new batch.
    pub fn clear(&mut self) {
        self.items.clear();
        self.parts.clear();
        self.opened = 0;
    }

    /// Whether there is anything to hand out.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes the next packet, which lies in `arena` at `packet`.
    ///
    /// # Panics
    ///
    /// If `packet` is not within `arena`.
    pub fn push(&mut self, arena: &[u8], packet: Range<usize>) {
        let Some(segment) = Segment::parse(&arena[packet.clone()]) else {
            // Its flow is not known: nothing may overtake it.
            self.opened = 0;
            self.push_alone(packet);
            return;
        };
        let found = self.open[..self.opened].iter().position(|&item| {
            // Only what could be parsed is open.
            let head = self.items[item as usize].head(arena);
            segment.is_of_flow(&head)
        });
        let wanted = if segment.is_tcp() {
            self.offloads.tcp
        } else {
            self.offloads.udp
        };
        let mergeable = wanted && segment.is_data();
        if let Some(place) = found {
            let item = self.open[place];
            let joins = mergeable && self.items[item as usize].joins(arena, &segment);
            if joins {
                let ends = self.join(item, &segment, packet);
                if ends {
                    self.close(place);
                } else {
                    self.open[..=place].rotate_right(1);
                }
                return;
            }
            self.close(place);
        }
        let (headers, payload) = (segment.headers, segment.payload());
        let item = self.items.len() as u32;
        let (is_tcp, pushed) = (segment.is_tcp(), segment.is_pushed());
        let sequence = if is_tcp {
            segment.sequence().wrapping_add(payload as u32)
        } else {
            0
        };
        self.push_alone(packet);
        // `push_alone` has pushed it.
        if let Some(last) = self.items.last_mut().filter(|_| mergeable && !pushed) {
            last.headers = headers;
            last.segment = payload;
            last.sequence = sequence;
            self.opened = (self.opened + 1).min(MAX_OPEN);
            self.open[..self.opened].rotate_right(1);
            self.open[0] = item;
        }
    }

    /// Takes a packet that came as a super-packet of TCP, which [`finish`](super::finish) describes by `header`. It stays
    /// alone, and none overtakes it.
    pub fn push_uncut(&mut self, packet: Range<usize>, header: Header) {
        self.opened = 0;
        self.push_alone(packet);
        // `push_alone` has pushed it.
        if let Some(last) = self.items.last_mut() {
            last.uncut = Some(header);
        }
    }

    /// The packets and super-packets to write, in order.
    pub fn iter<'a>(&'a self, arena: &'a [u8]) -> impl Iterator<Item = SuperPacket<'a>> {
        self.items
            .iter()
            .map(move |item| SuperPacket::new(self, item, arena))
    }

    fn push_alone(&mut self, packet: Range<usize>) {
        self.items.push(Item {
            len: packet.len(),
            head: packet,
            headers: 0,
            segment: 0,
            sequence: 0,
            intact: false,
            pushed: false,
            first: END,
            last: END,
            count: 1,
            uncut: None,
        });
    }

    /// Appends a packet; returns whether it is the last that the item takes.
    fn join(&mut self, item: u32, segment: &Segment<'_>, packet: Range<usize>) -> bool {
        let part = self.parts.len() as u32;
        self.parts.push(Part {
            payload: packet.start + segment.headers..packet.end,
            next: END,
        });
        let item = &mut self.items[item as usize];
        match self.parts.get_mut(item.last as usize) {
            Some(last) => last.next = part,
            None => item.first = part,
        }
        item.last = part;
        item.count += 1;
        item.len += segment.payload();
        item.sequence = item.sequence.wrapping_add(segment.payload() as u32);
        item.pushed = segment.is_pushed();
        item.pushed || segment.payload() < item.segment || item.count == MAX_PARTS
    }

    fn close(&mut self, place: usize) {
        self.open[place..self.opened].rotate_left(1);
        self.opened -= 1;
    }
}

impl Item {
    fn head<'a>(&self, arena: &'a [u8]) -> Segment<'a> {
        Segment {
            packet: &arena[self.head.clone()],
            headers: self.headers,
        }
    }

    fn joins(&mut self, arena: &[u8], segment: &Segment<'_>) -> bool {
        let head = self.head(arena);
        let fits = segment.payload() <= self.segment
            && self.len + segment.payload() <= LONGEST
            && (!segment.is_tcp() || segment.sequence() == self.sequence)
            && segment.has_headers_of(&head);
        if !fits || !segment.is_intact() {
            return false;
        }
        self.intact = self.intact || head.is_intact();
        self.intact
    }
}

/// One packet for the host's stack: alone and as it came, or many in one.
#[derive(Debug)]
pub struct SuperPacket<'a> {
    header: Header,
    coalescer: &'a Coalescer,
    arena: &'a [u8],
    item: &'a Item,
    headers: [u8; MAX_HEADERS],
}

impl<'a> SuperPacket<'a> {
    fn new(coalescer: &'a Coalescer, item: &'a Item, arena: &'a [u8]) -> Self {
        let mut packet = Self {
            header: Header::WHOLE,
            coalescer,
            arena,
            item,
            headers: [0; MAX_HEADERS],
        };
        if item.count > 1 {
            packet.write_headers();
        }
        if let Some(header) = item.uncut
            && packet.may_stay_uncut()
        {
            packet.header = header;
        }
        packet
    }

    /// Whether the kernel takes it as it came: a segment that changes the connection would do so again and again.
    fn may_stay_uncut(&self) -> bool {
        let packet = &self.arena[self.item.head.clone()];
        self.coalescer.offloads.tcp
            && Segment::parse(packet).is_some_and(|segment| segment.is_data())
    }

    /// Whether it stands for several packets, and the kernel takes them as one.
    pub fn is_super(&self) -> bool {
        self.header.gso != Gso::None
    }

    /// How to cut it if it came as a super-packet, and the kernel does not take it as one.
    pub fn cut(&self) -> Option<Cut> {
        let header = self.item.uncut?;
        // `finish` describes no packet that cannot be cut.
        Cut::new(&header, &self.arena[self.item.head.clone()]).ok()
    }

    /// The `virtio_net_hdr` that describes it to the kernel.
    pub fn header(&self) -> Header {
        self.header
    }

    /// How many packets it is made of.
    pub fn count(&self) -> usize {
        self.item.uncut.map_or(self.item.count, |header| {
            let payload = self.item.len.saturating_sub(header.header_len.into());
            payload.div_ceil(usize::from(header.segment).max(1))
        })
    }

    /// Its headers if it is made of several packets; empty if it is one packet, which has its own.
    pub fn headers(&self) -> &[u8] {
        if self.item.count > 1 {
            &self.headers[..self.item.headers]
        } else {
            &[]
        }
    }

    /// The bytes behind [`Self::headers`], in at most 64 pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> {
        let (arena, parts) = (self.arena, &self.coalescer.parts);
        let skipped = if self.item.count > 1 {
            self.item.headers
        } else {
            0
        };
        let first = &arena[self.item.head.start + skipped..self.item.head.end];
        let following = std::iter::successors(parts.get(self.item.first as usize), |part| {
            parts.get(part.next as usize)
        });
        std::iter::once(first).chain(following.map(|part| &arena[part.payload.clone()]))
    }

    /// The packets that it is made of, as they came.
    pub fn packets(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (arena, parts) = (self.arena, &self.coalescer.parts);
        let (head, headers) = (self.item.head.clone(), self.item.headers);
        let following = std::iter::successors(parts.get(self.item.first as usize), |part| {
            parts.get(part.next as usize)
        });
        // Headers of one flow are equally long.
        let following = following.map(move |part| {
            let Range { start, end } = part.payload;
            &arena[start - headers..end]
        });
        std::iter::once(&arena[head]).chain(following)
    }

    /// The headers of the first packet, for all of them: lengths, the pseudo-header's sum, the last one's PSH.
    fn write_headers(&mut self) {
        let head = &self.arena[self.item.head.clone()];
        let is_tcp = head[6] == TCP;
        let headers = &mut self.headers[..self.item.headers];
        headers.copy_from_slice(&head[..self.item.headers]);
        // `joins` bounds the length.
        let covered = self.item.len - IPV6;
        put16(headers, 4, covered as u16);
        let transport = &mut headers[IPV6..];
        let (protocol, field, gso) = if is_tcp {
            if self.item.pushed {
                transport[tcp::FLAGS] |= tcp::PSH;
            }
            (TCP, tcp::CHECKSUM, Gso::Tcp6)
        } else {
            put16(transport, udp::LENGTH, covered as u16);
            (UDP, udp::CHECKSUM, Gso::Udp)
        };
        let pseudo = pseudo_header(head, protocol).plus(Sum::number(covered));
        transport[field..field + 2].copy_from_slice(&pseudo.folded());
        self.header = Header {
            needs_checksum: true,
            gso,
            // Each is at most `MAX_HEADERS`, and a packet is at most `LONGEST` bytes long.
            header_len: self.item.headers as u16,
            segment: self.item.segment as u16,
            checksum_start: IPV6 as u16,
            checksum_offset: field as u16,
        };
    }
}

#[cfg(test)]
mod tests;
