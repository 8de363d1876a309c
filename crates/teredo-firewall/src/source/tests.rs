use std::{future::pending, sync::Arc, time::Duration};

use teredo_notify::{
    hub::Hub,
    service::{Config, EventBus, ReadOnly, Service},
    watcher::GatingSubscriber,
};
use tokio::time::timeout;

use crate::{
    Agent, AgentConfig, nft_program as nft,
    testing::{Namespace, eventually},
};

const LIMIT: Duration = Duration::from_secs(10);

fn serve(config: &Config, hub: &Hub) -> tokio::task::JoinHandle<()> {
    let events = EventBus::new(hub.clone());
    let service = Service::bind(config, hub.clone(), events, Arc::new(ReadOnly::default()));
    tokio::spawn(service.expect("the service listens").run(pending()))
}

/// F-2, N-15, N-16: the agent at the real service: the client waits for it, and its end closes the
/// port until it is back.
#[test]
fn the_agent_follows_the_service() {
    Namespace::new().run_async(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::new(folder.path().join("teredo.sock"));
        let hub = Hub::new();
        let service = serve(&config, &hub);
        let gate = GatingSubscriber::new(&config.path);
        let agent = tokio::spawn(
            Agent::new(AgentConfig::default())
                .unwrap()
                .run(gate, pending()),
        );
        eventually("the agent gates", LIMIT, || hub.gates().len() == 1).await;

        for port in [4500, 4501] {
            let sequence = hub.publish(port);
            let settled = timeout(LIMIT, hub.settled(sequence)).await;
            settled.expect("the agent confirms");
            assert_eq!(nft::ports("port"), [u64::from(port)]);
        }
        assert_eq!(hub.gate_missed(), 0);

        service.abort();
        service.await.expect_err("the service is gone");
        eventually("the port is closed", LIMIT, || {
            nft::ports("port").is_empty()
        })
        .await;

        let hub = Hub::new();
        hub.publish(4502);
        let service = serve(&config, &hub);
        eventually("the port is open again", LIMIT, || {
            nft::ports("port") == [4502]
        })
        .await;
        service.abort();
        agent.abort();
    });
}
