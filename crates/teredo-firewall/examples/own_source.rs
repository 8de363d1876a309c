//! A firewall agent that learns of the port from its own program instead of the local service.
//!
//! Run it in a network namespace of its own, as root:
//! `cargo build -p teredo-firewall --example own_source && sudo unshare --net target/debug/examples/own_source`

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;

use teredo_firewall::{Agent, AgentConfig, PortSource};
use teredo_notify::Snapshot;
use tokio::sync::mpsc;

/// The ports that the program uses, one after the other.
struct Ports {
    states: mpsc::Receiver<Snapshot>,
    confirmed: mpsc::Sender<u64>,
}

impl PortSource for Ports {
    type Error = Infallible;

    async fn next(&mut self) -> Result<Snapshot, Infallible> {
        match self.states.recv().await {
            Some(state) => Ok(state),
            // No further change: the agent keeps the last port open.
            None => pending().await,
        }
    }

    async fn settle(&mut self, sequence: u64) {
        let _ = self.confirmed.send(sequence).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (change, states) = mpsc::channel(1);
    let (confirmed, mut confirmations) = mpsc::channel(1);
    let source = Ports { states, confirmed };

    // The inside of the tunnel is closed from here on.
    let agent = Agent::new(AgentConfig::default())?;
    let status = agent.status();
    let program = async {
        for (sequence, port) in [(1, 4500), (2, 4501)] {
            let _ = change.send(Snapshot { sequence, port }).await;
            // From the confirmation on, the firewall lets the port through: now it may be used.
            confirmations.recv().await;
            println!("{:?}", *status.borrow());
        }
    };
    // When the program ends, the agent closes its ports. The inside of the tunnel stays closed.
    agent.run(source, program).await?;
    Ok(())
}
