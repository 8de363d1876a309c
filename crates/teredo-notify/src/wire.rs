//! Varlink on the wire: JSON objects, each with a NUL at its end.
//!
//! The framing is our own because no Varlink library offers all of this: the peer's credentials from the kernel;
//! streams that make each reply when the one before has left, so that slow subscribers cost nothing; calls that are
//! read while a stream is open, which reveals the death of a gate at once; and a caller that links no runtime.

use std::borrow::Cow;

use crate::hub::GateReport;
use crate::snapshot::Node;
use crate::{RandomPortError, RandomPorts, RandomSnapshot};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The longest message, its NUL included.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;

pub(crate) const INTERFACE: &str = "io.teredo.Client";
pub(crate) const DESCRIPTION: &str = include_str!("../io.teredo.Client.varlink");

/// Names of errors.
pub(crate) mod error {
    pub(crate) const NOT_READY: &str = "io.teredo.Client.NotReady";
    pub(crate) const UNKNOWN_SUBSCRIPTION: &str = "io.teredo.Client.UnknownSubscription";
    pub(crate) const PORT_IN_USE: &str = "io.teredo.Client.PortInUse";
    pub(crate) const OTHER_NETWORK: &str = "io.teredo.Client.OtherNetwork";
    pub(crate) const FAILED: &str = "io.teredo.Client.Failed";
    pub(crate) const INTERFACE_NOT_FOUND: &str = "org.varlink.service.InterfaceNotFound";
    pub(crate) const METHOD_NOT_FOUND: &str = "org.varlink.service.MethodNotFound";
    pub(crate) const METHOD_NOT_IMPLEMENTED: &str = "org.varlink.service.MethodNotImplemented";
    pub(crate) const INVALID_PARAMETER: &str = "org.varlink.service.InvalidParameter";
    pub(crate) const PERMISSION_DENIED: &str = "org.varlink.service.PermissionDenied";
    pub(crate) const EXPECTED_MORE: &str = "org.varlink.service.ExpectedMore";
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("a message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    #[error("a message is not JSON of the expected form: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Splits a stream of bytes into messages.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    /// Where the first message begins.
    start: usize,
    /// Up to here there is no NUL.
    searched: usize,
}

impl Decoder {
    /// Appends bytes. Take all messages with [`Decoder::next`] before the next call: then the decoder keeps one
    /// incomplete message at most.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * bytes.len().max(1024) {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message, without its NUL.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, WireError> {
        let Some(length) = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == 0)
        else {
            self.searched = self.buffer.len();
            if self.start == self.buffer.len() {
                // While it is quiet it needs no memory.
                *self = Self::default();
                return Ok(None);
            }
            return if self.searched - self.start >= MAX_MESSAGE {
                Err(WireError::TooLong)
            } else {
                Ok(None)
            };
        };
        let (start, end) = (self.start, self.searched + length);
        if end - start >= MAX_MESSAGE {
            return Err(WireError::TooLong);
        }
        self.start = end + 1;
        self.searched = self.start;
        Ok(Some(&self.buffer[start..end]))
    }
}

/// A call, as the caller writes it.
#[derive(Debug, Serialize)]
pub(crate) struct OutgoingCall<'a> {
    pub(crate) method: &'a str,
    pub(crate) parameters: Value,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) more: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) oneway: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl<'a> OutgoingCall<'a> {
    pub(crate) fn new(method: &'a str, parameters: Value) -> Self {
        Self {
            method,
            parameters,
            more: false,
            oneway: false,
        }
    }

    pub(crate) fn subscribe(initial: bool, gate: bool) -> Self {
        let parameters = json!({ "initial": initial, "gate": gate });
        Self {
            more: true,
            ..Self::new("io.teredo.Client.Subscribe", parameters)
        }
    }

    /// A gate's subscription, which a service of another network namespace refuses.
    pub(crate) fn subscribe_gate(network: Option<u64>, random: bool) -> Self {
        let mut parameters = json!({ "initial": true, "gate": true, "network": network });
        if random {
            parameters["random"] = Value::Bool(true);
        }
        Self {
            more: true,
            ..Self::new("io.teredo.Client.Subscribe", parameters)
        }
    }

    pub(crate) fn report(subscription: u64, report: &GateReport) -> Self {
        let parameters = json!({
            "subscription": subscription,
            "trouble": report.trouble,
            "protects": report.protects,
            "backend": report.backend,
            "random_trouble": report.random_trouble,
            "valid_ms": u64::try_from(report.valid.as_millis()).unwrap_or(u64::MAX),
        });
        Self {
            oneway: true,
            ..Self::new("io.teredo.Client.Report", parameters)
        }
    }

    pub(crate) fn settle(subscription: u64, sequence: u64) -> Self {
        let parameters = json!({ "subscription": subscription, "sequence": sequence });
        Self {
            oneway: true,
            ..Self::new("io.teredo.Client.Settle", parameters)
        }
    }

    /// Settles, and confirms the random ports of the state `random`, too.
    pub(crate) fn admit(subscription: u64, sequence: u64, random: u64) -> Self {
        let mut call = Self::settle(subscription, sequence);
        call.parameters["random"] = random.into();
        call
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

/// A call, as the service reads it.
#[derive(Debug)]
pub(crate) struct IncomingCall {
    pub(crate) method: String,
    pub(crate) parameters: Map<String, Value>,
    pub(crate) more: bool,
    pub(crate) oneway: bool,
}

impl IncomingCall {
    /// Reads a call. The outer error means that the peer does not speak Varlink. The inner one is the reply to an
    /// invalid call; none if that wants no reply.
    pub(crate) fn decode(message: &[u8]) -> Result<Result<Self, Option<Reply>>, WireError> {
        let mut call: Map<String, Value> = serde_json::from_slice(message)?;
        let mut flag = |name: &'static str| match call.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Reply::invalid_parameter(name)),
        };
        let oneway = match flag("oneway") {
            Ok(oneway) => oneway,
            Err(reply) => return Ok(Err(Some(reply))),
        };
        let refuse = |reply| Ok(Err((!oneway).then_some(reply)));
        let (more, upgrade) = match (flag("more"), flag("upgrade")) {
            (Ok(more), Ok(upgrade)) => (more, upgrade),
            (Err(reply), _) | (_, Err(reply)) => return refuse(reply),
        };
        if upgrade {
            return refuse(Reply::invalid_parameter("upgrade"));
        }
        let Some(Value::String(method)) = call.remove("method") else {
            return refuse(Reply::invalid_parameter("method"));
        };
        let parameters = match call.remove("parameters") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(parameters)) => parameters,
            Some(_) => return refuse(Reply::invalid_parameter("parameters")),
        };
        Ok(Ok(Self {
            method,
            parameters,
            more,
            oneway,
        }))
    }

    /// Removes and returns a parameter of the call.
    pub(crate) fn parameter<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
    ) -> Result<T, Reply> {
        let value = self.parameters.remove(name).unwrap_or(Value::Null);
        serde_json::from_value(value).map_err(|_| Reply::invalid_parameter(name))
    }
}

/// A reply, in either direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reply {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Cow<'static, str>>,
    #[serde(default)]
    pub(crate) parameters: Value,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) continues: bool,
}

impl Reply {
    pub(crate) fn new(parameters: Value) -> Self {
        Self {
            error: None,
            parameters,
            continues: false,
        }
    }

    pub(crate) fn error(name: &'static str, parameters: Value) -> Self {
        Self {
            error: Some(name.into()),
            ..Self::new(parameters)
        }
    }

    pub(crate) fn invalid_parameter(name: &str) -> Self {
        Self::error(error::INVALID_PARAMETER, json!({ "parameter": name }))
    }

    pub(crate) fn continued(self) -> Self {
        Self {
            continues: true,
            ..self
        }
    }

    pub(crate) fn decode(message: &[u8]) -> Result<Self, WireError> {
        Ok(serde_json::from_slice(message)?)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

/// The reply of `Subscribe` to a gate, which must know whose port it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GateState {
    #[serde(flatten)]
    pub(crate) state: PortState,
    #[serde(flatten)]
    pub(crate) node: Node,
    /// For a gate that follows the random ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) random: Option<RandomSnapshot>,
}

/// A [`GateState`] as the gate reads it. The random ports are judged apart: the port is as true without them.
#[derive(Debug, Deserialize)]
pub(crate) struct ReadGateState {
    #[serde(flatten)]
    pub(crate) state: PortState,
    #[serde(flatten)]
    pub(crate) node: Node,
    #[serde(default)]
    random: Option<ReadRandom>,
}

#[derive(Debug, Deserialize)]
struct ReadRandom {
    sequence: u64,
    // A message has a bound, and this with it.
    ports: Vec<u16>,
}

impl ReadGateState {
    /// A service of an earlier version names none.
    pub(crate) fn random(&self) -> Result<RandomSnapshot, RandomPortError> {
        let Some(random) = &self.random else {
            return Ok(RandomSnapshot::default());
        };
        Ok(RandomSnapshot {
            sequence: random.sequence,
            ports: RandomPorts::try_from(random.ports.as_slice())?,
        })
    }
}

impl GateState {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(&Continued {
            parameters: self,
            continues: true,
        })
    }
}

#[derive(Serialize)]
struct Continued<'a, T> {
    parameters: &'a T,
    continues: bool,
}

/// The reply of `Subscribe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortState {
    pub(crate) subscription: u64,
    pub(crate) sequence: u64,
    pub(crate) kind: crate::Kind,
    pub(crate) port: u16,
}

impl PortState {
    /// As a reply that others follow. Directly, not as a [`Value`], because each subscriber gets its own.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(&Continued {
            parameters: self,
            continues: true,
        })
    }

    /// Reads a reply that is a state; none if it is an error or anything else.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Told {
            parameters: PortState,
            error: Option<IgnoredAny>,
        }
        let told: Told = serde_json::from_slice(message).ok()?;
        told.error.is_none().then_some(told.parameters)
    }
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and maps with string keys always have a JSON form.
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests;
