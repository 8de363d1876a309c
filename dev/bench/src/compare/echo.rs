//! The floor of a server: it sends back what it receives, in batches, and looks at nothing.

use std::net::{SocketAddrV4, UdpSocket};

use anyhow::{Context as _, Result};

use super::batch::Batch;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where it listens.
    address: SocketAddrV4,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    teredo_lab::die_with_parent()?;
    let socket = UdpSocket::bind(options.address).context("cannot bind")?;
    let mut batch = Batch::new();
    println!("echoing");
    loop {
        if batch.receive(&socket, true)? > 0 {
            batch.echo(&socket)?;
        }
    }
}
