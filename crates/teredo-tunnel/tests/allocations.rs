//! Nothing is allocated per packet: a batch like the one before it allocates nothing at all.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use teredo_tunnel::offload::{Coalescer, Cut, Gso, Header, Offloads};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to `System` as it is; counting allocates nothing, because the cell is initialised
// by a constant and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PACKETS: usize = 51;

/// A super-packet of TCP with timestamps, and what the kernel says of it.
fn super_packet() -> (Header, Vec<u8>) {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
    packet.resize(72 + PACKETS * 1208, 1);
    packet[52..54].copy_from_slice(&[0x80, 0x10]);
    let header = Header {
        needs_checksum: true,
        gso: Gso::Tcp6,
        header_len: 72,
        segment: 1208,
        checksum_start: 40,
        checksum_offset: 16,
    };
    (header, packet)
}

/// Cuts and puts together again; returns how many packets are in the only write.
fn batch(packet: &[u8], header: &Header, arena: &mut [u8], coalescer: &mut Coalescer) -> usize {
    let mut cut = Cut::new(header, packet).unwrap();
    let mut end = 0;
    coalescer.clear();
    while let Some(len) = cut.emit(packet, &mut arena[end..]) {
        coalescer.push(arena, end..end + len);
        end += len;
    }
    let mut writes = coalescer.iter(arena);
    let count = writes.next().map_or(0, |packet| {
        assert_eq!(packet.pieces().count(), PACKETS);
        packet.count()
    });
    assert!(writes.next().is_none());
    count
}

#[test]
fn a_batch_like_the_one_before_allocates_nothing() {
    let (header, packet) = super_packet();
    let mut arena = vec![0; PACKETS * 1280];
    let mut coalescer = Coalescer::new(0, Offloads::ALL);
    let before = ALLOCATIONS.get();
    assert_eq!(batch(&packet, &header, &mut arena, &mut coalescer), PACKETS);
    let first = ALLOCATIONS.get();
    assert!(first > before, "allocations are counted");
    for _ in 0..10 {
        assert_eq!(batch(&packet, &header, &mut arena, &mut coalescer), PACKETS);
    }
    assert_eq!(ALLOCATIONS.get(), first);
}
