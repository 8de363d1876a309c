//! The random ports of a client: the sockets besides the service port from which it reaches single peers (RFC 6081 §3.3
//! and §3.4).
//!
//! They are many and live for minutes, so they are no notifications: subscribers, and the functions of Windows, know the
//! service port alone. Only a gate that [follows](crate::hub::Hub::register_random_gate) them hears of them, because a
//! firewall must admit their datagrams.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most random ports of a client at a time: 32 of single peers, and a block of 256 that are open for seconds, one of which
/// a peer looks for.
pub const MAX_RANDOM_PORTS: usize = 32 + 256;

/// The ports that can be random ports: the dynamic ones (RFC 6335 §6), from which a client draws them.
///
/// A firewall agent has more privilege than the client that it follows, and opens no other: not the port of a service of
/// this host, and not 3544.
pub const RANDOM_PORT_RANGE: RangeInclusive<u16> = 49_152..=65_535;

/// Why a port, or a list of ports, cannot be one of random ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RandomPortError {
    /// A client draws no such port.
    #[error(
        "port {0} is none of {first} to {last}, from which a client draws its random ports",
        first = RANDOM_PORT_RANGE.start(),
        last = RANDOM_PORT_RANGE.end()
    )]
    OutOfRange(u16),
    /// There are more than [`MAX_RANDOM_PORTS`].
    #[error("more than {MAX_RANDOM_PORTS} random ports")]
    TooMany,
}

/// A set of at most [`MAX_RANDOM_PORTS`] ports of [`RANDOM_PORT_RANGE`], in ascending order.
///
/// ```
/// use teredo_notify::{RandomPortError, RandomPorts};
///
/// let ports = RandomPorts::try_from([50_002, 50_001, 50_001].as_slice())?;
/// assert_eq!(ports.as_slice(), [50_001, 50_002]);
/// let refused = RandomPorts::try_from([50_001, 22].as_slice());
/// assert_eq!(refused, Err(RandomPortError::OutOfRange(22)));
/// # Ok::<(), RandomPortError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RandomPorts {
    /// Zeros behind the last port, so that equal sets are equal values.
    ports: [u16; MAX_RANDOM_PORTS],
    count: u16,
}

impl Default for RandomPorts {
    fn default() -> Self {
        Self {
            ports: [0; MAX_RANDOM_PORTS],
            count: 0,
        }
    }
}

impl RandomPorts {
    /// Adds a port.
    ///
    /// # Errors
    /// [`RandomPortError`]; the set stays as it was.
    pub fn insert(&mut self, port: u16) -> Result<(), RandomPortError> {
        if !RANDOM_PORT_RANGE.contains(&port) {
            return Err(RandomPortError::OutOfRange(port));
        }
        let count = usize::from(self.count);
        match self.as_slice().binary_search(&port) {
            Ok(_) => Ok(()),
            Err(_) if count == MAX_RANDOM_PORTS => Err(RandomPortError::TooMany),
            Err(place) => {
                self.ports.copy_within(place..count, place + 1);
                self.ports[place] = port;
                self.count += 1;
                Ok(())
            }
        }
    }

    /// The ports in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.ports[..usize::from(self.count)]
    }

    /// How many ports there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// Whether there is no port.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl TryFrom<&[u16]> for RandomPorts {
    type Error = RandomPortError;

    fn try_from(list: &[u16]) -> Result<Self, RandomPortError> {
        let mut ports = Self::default();
        list.iter().try_for_each(|port| ports.insert(*port))?;
        Ok(ports)
    }
}

impl fmt::Debug for RandomPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.as_slice()).finish()
    }
}

impl Serialize for RandomPorts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.as_slice())
    }
}

impl<'de> Deserialize<'de> for RandomPorts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A message has a bound, and this with it.
        let list = Vec::<u16>::deserialize(deserializer)?;
        Self::try_from(list.as_slice()).map_err(D::Error::custom)
    }
}

/// The random ports in use, and the number of this state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RandomSnapshot {
    /// Grows by one with each change, within the life of one hub. It is not the sequence of the service port.
    pub sequence: u64,
    /// The ports.
    pub ports: RandomPorts,
}

#[cfg(test)]
mod tests;
