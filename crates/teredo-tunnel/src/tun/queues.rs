//! An interface that several threads read and write, each its queue.

use std::io;
use std::num::NonZeroUsize;

use super::ioctl::{self, Role};
use super::{OpenError, Tun, index_of, open_device};
use crate::lane::seed;
use crate::offload::Offloads;
use crate::steer::Lanes;

/// The queues of one TUN interface, which exists for as long as one of them does.
///
/// A packet for a Teredo client comes out of the queue that its IPv4 address decides on, so that each thread has
/// clients of its own.
#[derive(Debug)]
pub struct TunQueues {
    first: Tun,
    others: Vec<Tun>,
    lanes: Lanes,
}

impl TunQueues {
    /// Creates the interface as [`Tun::open`] does, with `count` queues but 64 at most.
    ///
    /// Distributing packets also takes CAP_BPF. If the kernel refuses that or the queues, there is one queue, and the
    /// log says why.
    pub fn open(name: Option<&str>, count: NonZeroUsize) -> Result<Self, OpenError> {
        if count == NonZeroUsize::MIN {
            return Tun::open(name).map(Self::from);
        }
        let lanes = Lanes::new(count, random()?);
        let mut queues = Self::from(Tun::create(name, Role::FirstQueue)?);
        match queues.add(lanes) {
            Ok(others) => (queues.others, queues.lanes) = (others, lanes),
            Err(error) => {
                tracing::info!(%error, "the kernel refuses several queues for one interface: one thread does all");
            }
        }
        Ok(queues)
    }

    /// The first queue, by which the interface is set up.
    pub fn first(&self) -> &Tun {
        &self.first
    }

    /// How many queues there are.
    pub fn count(&self) -> usize {
        self.lanes.count()
    }

    pub(crate) fn lanes(&self) -> Lanes {
        self.lanes
    }

    fn add(&self, lanes: Lanes) -> io::Result<Vec<Tun>> {
        // First: it is what may be refused.
        lanes.steer_queues(&self.first)?;
        (1..lanes.count())
            .map(|_| {
                let file = open_device()?;
                ioctl::attach(&file, &self.first.name, Role::FurtherQueue)?;
                if index_of(&self.first.name)? != self.first.index {
                    let renamed = "the interface has another name by now";
                    return Err(io::Error::other(renamed));
                }
                Ok(Tun {
                    file,
                    name: self.first.name.clone(),
                    index: self.first.index,
                    offloads: Offloads::NONE,
                })
            })
            .collect()
    }

    /// Enables offloads as [`Tun::enable_offloads`] does, for the interface and so for all its queues.
    pub(crate) fn enable_offloads(&mut self) {
        let offloads = self.first.enable_offloads();
        for queue in &mut self.others {
            queue.offloads = offloads;
        }
    }

    pub(crate) fn into_each(self) -> impl Iterator<Item = Tun> {
        std::iter::once(self.first).chain(self.others)
    }
}

impl From<Tun> for TunQueues {
    fn from(first: Tun) -> Self {
        Self {
            first,
            others: Vec::new(),
            lanes: Lanes::ONE,
        }
    }
}

fn random() -> io::Result<u32> {
    let [a, b, c, d, ..] = seed()?;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}
