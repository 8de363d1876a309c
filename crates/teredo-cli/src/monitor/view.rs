//! What the reader of a monitor was told, so that he never believes in a port that is gone.

use teredo_notify::Kind;
use teredo_notify::types::{Detail, Event, Phase, PortKind};

/// The reader's knowledge, kept across the service's restarts.
#[derive(Debug, Default)]
pub(super) struct View {
    /// `None` until the first port event.
    port: Option<u16>,
    /// `None` until the first state event.
    phase: Option<Phase>,
    sequence: u64,
}

impl View {
    /// The event as the reader should see it, or `None` where it tells nothing.
    ///
    /// A service that came back begins with `current` again; to this reader it is a step from what he knows (N-15).
    pub(super) fn received(&mut self, mut event: Event) -> Option<Event> {
        match &mut event.detail {
            Detail::Port { kind, port } => {
                if let (PortKind::Current, Some(known)) = (*kind, self.port) {
                    *kind = Kind::of_step(known, *port)?.into();
                }
                self.port = Some(*port);
            }
            Detail::State { state, .. } => self.phase = Some(*state),
            Detail::Lost { .. } => {}
            // Its fields are unknown here, and half an event is worse than none.
            _ => return None,
        }
        self.sequence = event.sequence;
        Some(event)
    }

    /// The service is gone, and with it the port and the state that it vouched for (N-11, N-15).
    pub(super) fn gone(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.port.is_some_and(|port| port != 0) {
            self.port = Some(0);
            events.push(Detail::Port {
                kind: PortKind::Delete,
                port: 0,
            });
        }
        if self.phase.is_some_and(|phase| phase != Phase::Offline) {
            self.phase = Some(Phase::Offline);
            events.push(Detail::State {
                state: Phase::Offline,
                reason: Some(String::from("the service went away")),
                address: None,
                mapped: None,
                nat: None,
                server: None,
            });
        }
        events
            .into_iter()
            .map(|detail| Event::now(self.sequence, detail))
            .collect()
    }
}
