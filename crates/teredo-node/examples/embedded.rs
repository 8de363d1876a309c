//! A Teredo client inside your own program: no daemon, no socket, callbacks in the same process.

use std::io::stdin;

use anyhow::{Context as _, Result};
use teredo_node::Client;
use teredo_node::teredo_notify::hub::Hub;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let server = std::env::args().nth(1).context("usage: embedded SERVER")?;

    // Before the client starts, so that nothing is missed.
    let hub = Hub::new();
    let _registration = hub.register(false, |notification| match notification.state.port {
        0 => println!("no port"),
        port => println!("port {port}"),
    })?;

    let client = Client::builder(server).hub(hub).start().await?;
    let address = client.qualified().await.context("the client has ended")?;
    println!("address {address}");

    // Another port, for every line on standard input.
    let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || stdin().lines().try_for_each(|_| ask.send(())));
    while asked.recv().await.is_some() {
        client.rebind(None).await?;
    }
    client.shutdown().await?;
    Ok(())
}
