//! `TUNSETIFF`, `TUNGETIFF` and `TUNSETOFFLOAD`, which no safe wrapper covers.
#![allow(unsafe_code, reason = "see the module's documentation")]

use std::fs::File;

use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Updater, ioctl, opcode};

const IFNAMSIZ: usize = 16;

/// The length of the rest of `struct ifreq`; its largest member is `struct ifmap`.
const REST: usize = size_of::<libc::ifreq>() - IFNAMSIZ - size_of::<u16>();

/// `struct ifreq`, with the member of its union that `TUNSETIFF` uses.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; IFNAMSIZ],
    flags: u16,
    rest: [u8; REST],
}

impl InterfaceRequest {
    fn name(&self) -> String {
        let len = self.name.iter().position(|&byte| byte == 0);
        String::from_utf8_lossy(&self.name[..len.unwrap_or(IFNAMSIZ)]).into_owned()
    }
}

const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());

/// `_IOW('T', 202, int)`: defined with the size of an `int`, although it takes a `struct ifreq`.
const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<libc::c_int>(b'T', 202);

/// The role of an open `/dev/net/tun`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A new interface with one queue.
    Interface,
    /// The first queue of a new interface that may have more.
    FirstQueue,
    /// A further queue of an interface that is there.
    FurtherQueue,
}

impl Role {
    fn flags(self) -> u16 {
        let role = match self {
            Self::Interface => libc::IFF_TUN_EXCL,
            Self::FirstQueue => libc::IFF_TUN_EXCL | libc::IFF_MULTI_QUEUE,
            Self::FurtherQueue => libc::IFF_MULTI_QUEUE,
        };
        (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | role) as u16
    }
}

/// Gives an open `/dev/net/tun` its role and returns the interface's name.
///
/// `name` is at most 15 bytes long; a `%d` in it becomes the first free number. The interface is not persistent, and a
/// new one fails with `EBUSY` if one of this name exists.
pub(super) fn attach(file: &File, name: &str, role: Role) -> Result<String, Errno> {
    let mut request = InterfaceRequest {
        name: [0; IFNAMSIZ],
        flags: role.flags(),
        rest: [0; REST],
    };
    let room = &mut request.name[..IFNAMSIZ - 1];
    room.get_mut(..name.len())
        .ok_or(Errno::NAMETOOLONG)?
        .copy_from_slice(name.as_bytes());
    // SAFETY: `TUNSETIFF` reads and writes one `struct ifreq`, in whose layout and size `InterfaceRequest` is
    // (asserted above); every bit pattern is valid for it, and it outlives the call.
    unsafe {
        ioctl(
            file,
            Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request),
        )?
    };
    Ok(request.name())
}

/// The name of the interface that an open `/dev/net/tun` belongs to, if it has the flags of `role`.
///
/// `EBADFD` or `ENOTTY` if the file is no interface, `EINVAL` if it is another kind of one.
pub(super) fn attached(file: &File, role: Role) -> Result<String, Errno> {
    const TUNGETIFF: rustix::ioctl::Opcode = opcode::read::<libc::c_uint>(b'T', 210);
    let mut request = InterfaceRequest {
        name: [0; IFNAMSIZ],
        flags: 0,
        rest: [0; REST],
    };
    // SAFETY: `TUNGETIFF` writes one `struct ifreq`, in whose layout and size `InterfaceRequest` is (asserted above); every
    // bit pattern is valid for it, and it outlives the call. A file of another driver refuses the number.
    unsafe {
        ioctl(
            file,
            Updater::<TUNGETIFF, InterfaceRequest>::new(&mut request),
        )?
    };
    let kind = (libc::IFF_TUN
        | libc::IFF_TAP
        | libc::IFF_NO_PI
        | libc::IFF_VNET_HDR
        | libc::IFF_MULTI_QUEUE) as u16;
    if request.flags & kind != role.flags() & kind {
        return Err(Errno::INVAL);
    }
    Ok(request.name())
}

/// Sets which super-packets the kernel may hand over from now on, as `TUN_F_*`.
///
/// `EINVAL` if the kernel does not know one of them.
pub(super) fn set_offloads(file: &File, features: libc::c_uint) -> Result<(), Errno> {
    const TUNSETOFFLOAD: rustix::ioctl::Opcode = opcode::write::<libc::c_uint>(b'T', 208);
    // SAFETY: `TUNSETOFFLOAD` takes its argument as a number, not as a pointer, and refuses numbers that it does not
    // know.
    unsafe {
        ioctl(
            file,
            IntegerSetter::<TUNSETOFFLOAD>::new_usize(features as usize),
        )
    }
}
