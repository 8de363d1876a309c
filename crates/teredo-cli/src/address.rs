//! `teredo address`: decodes and encodes Teredo addresses (RFC 4380 §4, RFC 5991 §3.1).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use serde::Serialize;
use teredo::wire::{Flags, TeredoAddress, is_obsolete_teredo, is_teredo};

use crate::args::{AddressArgs, AddressCommand};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Runs `teredo address decode` and `encode`, which need no service and no privilege.
pub(crate) fn run(args: AddressArgs, output: &mut Output) -> Result<Exit, Failure> {
    let AddressArgs {
        command,
        address,
        json,
    } = args;
    let short = address.map(|address| AddressCommand::Decode { address, json });
    let missing = || {
        Failure::new(Exit::Usage, "an address is missing")
            .hint("'teredo address ADDR' shows the parts of a Teredo address")
    };
    match command.or(short).ok_or_else(missing)? {
        AddressCommand::Decode { address, json } => {
            let decoded = Decoded::new(address)?;
            if json {
                output.json(&decoded)?
            } else {
                output.line(decoded)?
            }
        }
        AddressCommand::Encode {
            server,
            mapped,
            flags,
        } => {
            output.line(
                TeredoAddress {
                    server,
                    flags: Flags::from_bits(flags),
                    mapped,
                }
                .to_ipv6(),
            )?;
        }
    }
    Ok(Exit::Done)
}

/// The parts of a Teredo address; the object of schema `teredo.address/1`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Decoded {
    schema: &'static str,
    address: Ipv6Addr,
    server: Ipv4Addr,
    /// All 16 bits.
    flags: u16,
    cone: bool,
    /// The 12 random bits of RFC 5991 §3.1, at their places in `flags`.
    random: u16,
    /// The bits z, U and G, which should be zero, at their places in `flags`.
    reserved: u16,
    mapped: SocketAddrV4,
    mapped_address: Ipv4Addr,
    mapped_port: u16,
}

impl Decoded {
    fn new(address: Ipv6Addr) -> Result<Self, Failure> {
        let parts = TeredoAddress::from_ipv6(address).ok_or_else(|| refusal(address))?;
        let flags = parts.flags.bits();
        Ok(Self {
            schema: "teredo.address/1",
            address,
            server: parts.server,
            flags,
            cone: parts.flags.is_cone(),
            random: flags & Flags::RANDOM_MASK,
            reserved: flags & Flags::ZERO_MASK,
            mapped: parts.mapped,
            mapped_address: *parts.mapped.ip(),
            mapped_port: parts.mapped.port(),
        })
    }
}

fn refusal(address: Ipv6Addr) -> Failure {
    debug_assert!(
        !is_teredo(&address),
        "every address of the prefix can be decoded"
    );
    let failure = Failure::new(Exit::Failed, format!("{address} is not a Teredo address"));
    if is_obsolete_teredo(&address) {
        failure
            .hint("3ffe:831f::/32 is the old prefix from before RFC 4380; today it is 2001:0::/32")
    } else {
        failure.hint("Teredo addresses begin with 2001:0:")
    }
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Address: {}", self.address)?;
        writeln!(f, " Server: {}", self.server)?;
        write!(
            f,
            "  Flags: {:#06x}    cone: {}",
            self.flags,
            if self.cone { "yes" } else { "no" }
        )?;
        write!(f, "    random bits: {:#06x}", self.random)?;
        if self.reserved != 0 {
            write!(
                f,
                "    reserved bits that should be zero: {:#06x}",
                self.reserved
            )?;
        }
        write!(f, "\n Mapped: {}", self.mapped)
    }
}

#[cfg(test)]
mod tests;
