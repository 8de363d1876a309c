//! The two programs that derive a lane's number from a client's IPv4 address, for a datagram and for a packet.
//!
//! ```text
//!  address × multiplier, modulo 2^32 ─> its upper half × lanes ─> the upper half of that
//! ```
//!
//! The multiplier is odd and drawn at the start: nobody outside can choose addresses that share a lane.
#![allow(
    unsafe_code,
    reason = "bpf(2) and TUNSETSTEERINGEBPF have no safe wrapper"
)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::ioctl::{Setter, ioctl, opcode};

use crate::Tun;

/// To the upper half, on which all bits of the address have an influence.
pub(super) const HALF: u32 = 16;

/// Where an IPv4 header has its source.
const SOURCE: u32 = 12;
/// Where, in a packet to a Teredo address, the client's IPv4 address begins, each bit inverted (RFC 4380 §4).
const OBFUSCATED: i32 = 24 + 12;

// linux/filter.h, linux/bpf_common.h, linux/bpf.h
const LD_W_ABS: u16 = 0x20;
const ALU_MUL_K: u16 = 0x24;
const ALU_RSH_K: u16 = 0x74;
const ALU_XOR_K: u16 = 0xa4;
const ALU64_MOV_X: u16 = 0xbf;
const RET_A: u16 = 0x16;
const EXIT: u16 = 0x95;
/// Offsets from here on count from the network header.
const SKF_NET_OFF: u32 = -0x10_0000_i32 as u32;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;

/// For datagrams: the index of a socket, in the order in which they were bound.
#[derive(Debug)]
pub(super) struct Classic([libc::sock_filter; 6]);

impl Classic {
    pub(super) fn new(lanes: u32, multiplier: u32) -> Self {
        let instruction = |code, k| libc::sock_filter {
            code,
            jt: 0,
            jf: 0,
            k,
        };
        Self([
            instruction(LD_W_ABS, SKF_NET_OFF + SOURCE),
            instruction(ALU_MUL_K, multiplier),
            instruction(ALU_RSH_K, HALF),
            instruction(ALU_MUL_K, lanes),
            instruction(ALU_RSH_K, HALF),
            instruction(RET_A, 0),
        ])
    }

    /// Refers to `self`.
    pub(super) fn as_raw(&self) -> libc::sock_fprog {
        libc::sock_fprog {
            len: self.0.len() as u16,
            // The kernel only reads.
            filter: self.0.as_ptr().cast_mut(),
        }
    }
}

/// `struct bpf_insn`
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    /// Two bit fields of four bits, first the destination and then the source.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The part of `union bpf_attr` that is passed to `BPF_PROG_LOAD`; the kernel takes missing fields for zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
}

/// For packets: the index of a queue, in the order in which they were attached.
pub(super) fn steer(tun: &Tun, lanes: u32, multiplier: u32) -> io::Result<()> {
    const TUNSETSTEERINGEBPF: rustix::ioctl::Opcode = opcode::read::<libc::c_int>(b'T', 224);
    let program = load(lanes, multiplier)?;
    // SAFETY: `TUNSETSTEERINGEBPF` reads one `int`, a descriptor, through its argument, and keeps a reference of its
    // own to the program.
    unsafe {
        ioctl(
            tun,
            Setter::<TUNSETSTEERINGEBPF, _>::new(program.as_raw_fd()),
        )
    }?;
    Ok(())
}

fn load(lanes: u32, multiplier: u32) -> io::Result<OwnedFd> {
    let instruction = |code: u16, registers, immediate| Instruction {
        code: code as u8,
        registers,
        offset: 0,
        immediate,
    };
    let r6_from_r1 = if cfg!(target_endian = "big") {
        0x61
    } else {
        0x16
    };
    // r6 is the packet, as `LD_W_ABS` wants it; that leaves its result, in host order, in r0. A packet that is too
    // short ends the program with 0.
    let instructions = [
        instruction(ALU64_MOV_X, r6_from_r1, 0),
        instruction(LD_W_ABS, 0, OBFUSCATED),
        instruction(ALU_XOR_K, 0, -1),
        instruction(ALU_MUL_K, 0, multiplier as i32),
        instruction(ALU_RSH_K, 0, HALF as i32),
        instruction(ALU_MUL_K, 0, lanes as i32),
        instruction(ALU_RSH_K, 0, HALF as i32),
        instruction(EXIT, 0, 0),
    ];
    let load = Load {
        kind: BPF_PROG_TYPE_SOCKET_FILTER,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: c"Apache-2.0".as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        version: 0,
        flags: 0,
    };
    // SAFETY: `BPF_PROG_LOAD` reads `size_of::<Load>()` bytes at `load`, whose fields are those that `union bpf_attr`
    // begins with, the instructions and the license that it points to, and writes nothing; all outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const load,
            size_of::<Load>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made the descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(result as libc::c_int) })
}
