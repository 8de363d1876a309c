//! The random ports of a client: the sockets besides the service port from which it reaches single peers (RFC 6081 §3.3
//! and §3.4).
//!
//! They are many and live for minutes, so they are no notifications: subscribers, and the functions of Windows, know the
//! service port alone. Only a gate that [follows](crate::hub::Hub::register_random_gate) them hears of them, because a
//! firewall must admit their datagrams.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most random ports of a client at a time.
pub const MAX_RANDOM_PORTS: usize = 32;

/// A set of at most [`MAX_RANDOM_PORTS`] ports, in ascending order.
///
/// ```
/// use teredo_notify::RandomPorts;
///
/// let mut ports = RandomPorts::default();
/// assert!(ports.insert(40_002) && ports.insert(40_001) && ports.insert(40_001));
/// assert_eq!(ports.as_slice(), [40_001, 40_002]);
/// assert!(!ports.insert(0), "0 is no port");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RandomPorts {
    /// Zeros behind the last port, so that equal sets are equal values.
    ports: [u16; MAX_RANDOM_PORTS],
    count: u8,
}

impl RandomPorts {
    /// Adds a port. Returns false if the set is full, or if the port is 0.
    pub fn insert(&mut self, port: u16) -> bool {
        let count = usize::from(self.count);
        match self.as_slice().binary_search(&port) {
            Ok(_) => true,
            Err(_) if port == 0 || count == MAX_RANDOM_PORTS => false,
            Err(place) => {
                self.ports.copy_within(place..count, place + 1);
                self.ports[place] = port;
                self.count += 1;
                true
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
        let mut ports = Self::default();
        // A message has a bound, and this with it.
        for port in Vec::<u16>::deserialize(deserializer)? {
            if !ports.insert(port) {
                return Err(D::Error::custom(format!(
                    "port 0, or more than {MAX_RANDOM_PORTS} random ports"
                )));
            }
        }
        Ok(ports)
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
