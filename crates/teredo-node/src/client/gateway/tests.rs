use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use teredo_gateway::{Protocol, Refusal};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::*;

const PORT: u16 = 40_000;

/// Counts the lines of the log about a mapping.
#[derive(Clone, Default)]
struct Lines(Arc<AtomicUsize>);

impl Lines {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.fields().any(|field| field.name() == "external") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn mapped(external: &str, epoch: u32) -> State {
    let wanted = Wanted {
        gateway: [192, 168, 1, 1].into(),
        local: SocketAddrV4::new([192, 168, 1, 7].into(), PORT),
    };
    State::Mapped(Mapping {
        external: external.parse().unwrap(),
        epoch: Some(epoch),
        ..Mapping::intended(wanted, Protocol::Pcp)
    })
}

/// A renewal changes the router's clock alone. The log of a client that runs for a year has one line for each mapping.
#[tokio::test]
async fn a_renewal_is_no_news() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let (states, reports) = watch::channel(State::Idle);
    let mut watch = GatewayWatch {
        reports: Some(reports),
        followed: (PORT, None),
        ..GatewayWatch::start(GatewayConfig::default(), Ipv4Addr::UNSPECIFIED, true)
    };
    for (state, news) in [
        (mapped("192.0.2.1:40000", 1000), 1),
        (mapped("192.0.2.1:40000", 1600), 0),
        (mapped("192.0.2.1:40000", 2200), 0),
        (mapped("192.0.2.2:40000", 2800), 1),
        (State::Refused(Refusal::Silent), 0),
        (mapped("192.0.2.2:40000", 3400), 1),
    ] {
        states.send_replace(state.clone());
        watch.changed().await;
        watch.new_mapping();
        assert_eq!(lines.take(), news, "{state:?}");
    }
    // The control loop may have had another input first.
    states.send_replace(mapped("192.0.2.3:40000", 4000));
    watch.new_mapping();
    watch.changed().await;
    watch.new_mapping();
    assert_eq!(lines.take(), 1);
}
