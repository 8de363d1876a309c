//! Who is told of the port before it is used.

/// Announces the service port to those who open firewalls for it, and knows whether they have.
///
/// Called on the data-path thread, so neither method may block. Whoever implements it calls
/// [`Waker::wake`](crate::Waker::wake) of [`EngineHandle::waker`](super::EngineHandle::waker) when an
/// announcement becomes settled.
pub trait PortAnnouncer: Send {
    /// Announces the port in use, 0 for none, and returns the announcement's sequence number.
    fn announce(&mut self, port: u16) -> u64;

    /// Whether every gating subscriber has confirmed the announcement `sequence`, or a later one.
    fn is_settled(&self, sequence: u64) -> bool;
}
