//! The probe at the start: an interface for it alone, in a network namespace of its own if the process may have one.

use std::io;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use netlink_packet_route::address::AddressHeaderFlags;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::{Handle, LinkUnspec};

use super::{KernelError, LOOPBACK};
use crate::Tun;
use crate::lane::seed;

/// How often, and how many times at most, to look whether the address is in effect.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
const MAX_LOOKS: u32 = 1000;

/// The length of the network of the probe's two addresses.
const PREFIX: u8 = 126;

/// Sends a packet through the programs and back, on a thread that is gone at the return. To drop the programs and the interface
/// takes some 50 ms, which is left to the caller.
pub(super) fn probe() -> Result<Box<dyn Send>, KernelError> {
    let thread = thread::Builder::new().name("teredo-probe".to_owned());
    let probed = thread
        .spawn(on_own_thread)
        .map_err(KernelError::no_probe)?
        .join();
    probed.unwrap_or_else(|_| Err(KernelError::no_probe("it panicked")))
}

fn on_own_thread() -> Result<Box<dyn Send>, KernelError> {
    // It takes CAP_SYS_ADMIN. Without, the interface is in the present namespace for some milliseconds.
    let isolated = unshare(CloneFlags::CLONE_NEWNET).is_ok();
    let tun = Tun::open(None).map_err(KernelError::no_probe)?;
    let (own, peer) = addresses().map_err(KernelError::no_probe)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(KernelError::no_probe)?;
    runtime
        .block_on(set_up(tun.index(), own, isolated))
        .map_err(KernelError::no_probe)?;
    let probed = teredo_bpf::probe(tun.name(), own, peer)?;
    Ok(Box::new((probed, tun)))
}

/// Two addresses that nobody else has (RFC 4193).
fn addresses() -> io::Result<(Ipv6Addr, Ipv6Addr)> {
    let mut octets = [0; 16];
    octets.copy_from_slice(&seed()?[..16]);
    octets[0] = 0xfd;
    let network = u128::from_be_bytes(octets) & !3;
    Ok(((network | 1).into(), (network | 2).into()))
}

/// Gives the interface its address, and waits until that is in effect.
async fn set_up(index: u32, own: Ipv6Addr, isolated: bool) -> io::Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let result = configure(&handle, index, own, isolated).await;
    connection.abort();
    result.map_err(io::Error::other)?;
    for _ in 0..MAX_LOOKS {
        if UdpSocket::bind((own, 0)).is_ok() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Err(io::ErrorKind::AddrNotAvailable.into())
}

async fn configure(
    handle: &Handle,
    index: u32,
    own: Ipv6Addr,
    isolated: bool,
) -> Result<(), rtnetlink::Error> {
    if isolated {
        let up = LinkUnspec::new_with_index(LOOPBACK).up().build();
        handle.link().change(up).execute().await?;
    }
    let up = LinkUnspec::new_with_index(index).mtu(1280).up().build();
    handle.link().change(up).execute().await?;
    let mut request = handle.address().add(index, IpAddr::V6(own), PREFIX);
    request.message_mut().header.flags = AddressHeaderFlags::Nodad;
    request.execute().await
}
