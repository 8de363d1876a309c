//! One connection: its calls in order, one reply at a time.

use std::io;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::OptionFuture;

use super::context::Context;
use super::methods::{self, Answer, Stream};
use super::permission::Peer;
use super::quota::Seat;
use super::socket::Socket;
use crate::wire::{Decoder, IncomingCall, Reply, WireError};

/// How much is read at once.
const CHUNK: usize = 8 * 1024;

const SETTLE: &str = "io.teredo.Client.Settle";

/// Why the service closed a connection.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("a call that wants a reply came on a connection whose stream is open")]
    CallDuringStream,
}

struct Connection<'a> {
    socket: Arc<Socket>,
    peer: Peer,
    seat: &'a Seat,
    context: &'a Context,
    /// The peer has made a call.
    called: bool,
    decoder: Decoder,
    /// The reply that is being written, unless it is a subscription's.
    outgoing: Vec<u8>,
    written: usize,
    /// The stream that a call has opened.
    open: Option<Stream>,
    /// The peer has closed its side.
    ended: bool,
}

pub(super) async fn serve(socket: Socket, peer: Peer, seat: &Seat, context: &Context) {
    let mut connection = Connection {
        socket: Arc::new(socket),
        peer,
        seat,
        context,
        called: false,
        decoder: Decoder::default(),
        outgoing: Vec::new(),
        written: 0,
        open: None,
        ended: false,
    };
    if let Err(error) = connection.run().await {
        let Peer {
            uid,
            pid,
            may_control,
        } = peer;
        match error {
            // By its own mistake a subscriber has lost its stream, or a firewall its gate.
            Closed::CallDuringStream if may_control => {
                tracing::warn!(uid, pid, %error, "connection closed")
            }
            _ => tracing::debug!(uid, pid, %error, "connection closed"),
        }
    }
}

impl Connection<'_> {
    async fn run(&mut self) -> Result<(), Closed> {
        let mut ending = self.context.ending.subscribe();
        loop {
            while self.open.is_some() || self.outgoing.is_empty() {
                let Some(message) = self.decoder.next()? else {
                    break;
                };
                self.called = true;
                // A call takes much more memory and time than its bytes, so only the user's turn takes it apart.
                let _turn = self.seat.turn().await;
                let call = IncomingCall::decode(message)?;
                self.handle(call).await?;
            }
            if self.ended && (self.open.is_some() || self.outgoing.is_empty()) {
                return Ok(());
            }

            let idle = self.advance()?;
            let unread = self.open.is_none() && !idle;
            self.seat.set_owes(!self.called || unread);
            let reading = !self.ended && (idle || self.open.is_some());
            let service_ends = async {
                // An error means that it has ended already.
                let _ = ending.wait_for(|ending| *ending).await;
            };
            let Self { socket, open, .. } = self;
            let (mut monitor, mut subscription) = (None, None);
            match open {
                Some(Stream::Monitor(open)) => monitor = Some(open),
                Some(Stream::Subscription(open)) => subscription = Some(open),
                None => {}
            }
            let next_event = OptionFuture::from(monitor.map(|monitor| monitor.next()));
            let called = OptionFuture::from(subscription.map(|open| open.called()));
            tokio::select! {
                ready = socket.readable(), if reading => {
                    ready?;
                    self.read()?;
                }
                ready = socket.writable(), if !idle => {
                    // The write is at the head of the loop.
                    ready?;
                }
                Some(reply) = next_event, if idle => self.send(&reply)?,
                Some(()) = called => {}
                () = service_ends => return Ok(self.finish().await?),
            }
        }
    }

    /// The service ends: writes everything that is due now.
    async fn finish(&mut self) -> io::Result<()> {
        loop {
            while !self.advance()? {
                self.socket.writable().await?;
            }
            let Some(Stream::Monitor(monitor)) = &mut self.open else {
                return Ok(());
            };
            match monitor.next().now_or_never() {
                Some(reply) => self.send(&reply)?,
                None => return Ok(()),
            }
        }
    }

    /// Writes everything that is due, as far as there is room; whether all of it has left.
    fn advance(&mut self) -> io::Result<bool> {
        self.write()?;
        match &self.open {
            Some(Stream::Subscription(subscription)) if self.outgoing.is_empty() => {
                subscription.advance()
            }
            _ => Ok(self.outgoing.is_empty()),
        }
    }

    async fn handle(&mut self, call: Result<IncomingCall, Option<Reply>>) -> Result<(), Closed> {
        if let Some(stream) = &self.open {
            // Varlink answers calls in their order, and the stream's never ends.
            return match call {
                // It takes effect at once; its reply would be due at the end of the stream.
                Ok(call) if call.oneway || call.method == SETTLE => {
                    let gate = stream.gate();
                    self.oneway(call, gate).await;
                    Ok(())
                }
                Err(None) => Ok(()),
                Ok(_) | Err(Some(_)) => Err(Closed::CallDuringStream),
            };
        }
        match call {
            Err(None) => {}
            Err(Some(refusal)) => self.send(&refusal)?,
            Ok(call) if call.oneway => self.oneway(call, None).await,
            Ok(call) => {
                match methods::answer(call, self.peer, self.seat, &self.socket, self.context).await
                {
                    Answer::Reply(reply) => self.send(&reply)?,
                    Answer::Stream(stream) => self.open = Some(stream),
                }
            }
        }
        Ok(())
    }

    /// A call that gets no reply, on a connection that carries the stream of the subscription `gate`.
    async fn oneway(&self, mut call: IncomingCall, gate: Option<u64>) {
        let own = gate.is_some()
            && call.method == SETTLE
            && call
                .parameters
                .get("subscription")
                .and_then(serde_json::Value::as_u64)
                == gate;
        let refusal = if own {
            methods::settle(&mut call, &self.context.hub).err()
        } else {
            match methods::answer(call, self.peer, self.seat, &self.socket, self.context).await {
                Answer::Reply(reply) => Some(reply).filter(|reply| reply.error.is_some()),
                // A stream needs "more", which a oneway call cannot have.
                Answer::Stream(_) => None,
            }
        };
        if let Some(refusal) = refusal {
            tracing::debug!(uid = self.peer.uid, error = ?refusal.error, "oneway call refused");
        }
    }

    /// Not async, so that the connection does not keep its buffer.
    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        match self.socket.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(length) => self.decoder.push(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn send(&mut self, reply: &Reply) -> io::Result<()> {
        self.outgoing = reply.encode();
        self.written = 0;
        self.write()
    }

    /// Writes as much as there is room for.
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.outgoing.len() {
            match self.socket.write(&self.outgoing[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.outgoing = Vec::new();
        Ok(())
    }
}
