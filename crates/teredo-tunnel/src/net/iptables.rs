//! The rules of `iptables-legacy`, of which nftables knows nothing.
#![allow(unsafe_code, reason = "no library has this socket option")]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// The tables that packets meet one by one. Of a flow, `nat` sees the first packet alone.
const TABLES: [&str; 4] = ["filter", "mangle", "raw", "security"];

/// The names of the tables in the namespace of the thread.
const NAMES: &str = "/proc/thread-self/net/ip_tables_names";

/// The first IPv4 table of `iptables-legacy` with a rule, in the network namespace of the thread. It needs CAP_NET_ADMIN.
///
/// # Errors
/// The kernel does not answer.
pub fn legacy_rules() -> io::Result<Option<&'static str>> {
    let tables: Vec<&str> = match fs::read_to_string(NAMES) {
        Ok(names) => {
            let exists = |table: &&str| names.lines().any(|name| name == *table);
            TABLES.into_iter().filter(exists).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // The file is for root alone. A question about a table makes the kernel load its module and create the table, so none
        // is asked about if its module is not loaded.
        Err(_) => match fs::read_to_string("/proc/modules") {
            Ok(modules) => {
                let built_in = !modules.lines().any(|line| line.starts_with("ip_tables "));
                let loaded = |table: &&str| {
                    let module = format!("iptable_{table} ");
                    built_in || modules.lines().any(|line| line.starts_with(&module))
                };
                TABLES.into_iter().filter(loaded).collect()
            }
            Err(_) => TABLES.to_vec(),
        },
    };
    let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    for table in tables {
        if has_rules(&socket, table)? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// `struct ipt_getinfo`
#[repr(C)]
#[derive(Default)]
struct Info {
    name: [u8; 32],
    valid_hooks: u32,
    hook_entry: [u32; 5],
    underflow: [u32; 5],
    num_entries: u32,
    size: u32,
}

/// Whether a table has more than its policies.
fn has_rules(socket: &OwnedFd, table: &str) -> io::Result<bool> {
    const IPT_SO_GET_INFO: libc::c_int = 64;
    let mut info = Info::default();
    info.name[..table.len()].copy_from_slice(table.as_bytes());
    let mut length = size_of::<Info>() as libc::socklen_t;
    // SAFETY: the kernel reads the name and writes at most `length` bytes, which are those of a structure of integers.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            IPT_SO_GET_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            // There is no such table, or no iptables-legacy at all.
            Some(libc::ENOENT | libc::ENOPROTOOPT) => Ok(false),
            _ => Err(error),
        };
    }
    // A policy for each hook, and the mark of the end.
    Ok(info.num_entries > info.valid_hooks.count_ones() + 1)
}

#[cfg(test)]
mod tests;
