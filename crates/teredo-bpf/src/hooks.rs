//! Where the programs are attached.
//!
//! Each change of a hook makes the kernel wait until no program runs any more that began before, some 10 to 20 ms. So hooks
//! have a lock of their own, apart from the maps: a thread that must not wait leaves them to another one.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::Ebpf;
use aya::programs::links::LinkOrder;
use aya::programs::tc::{SchedClassifierLinkId, TcAttachOptions};
use aya::programs::{SchedClassifier, SocketFilter, TcAttachType};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;

use crate::error::{PathError, not_attached, not_loaded};
use crate::path::missing;

pub(crate) const ENCAPSULATE: &str = "encapsulate";
pub(crate) const DECAPSULATE: &str = "decapsulate";
const WATCH_OUT: &str = "watch_out";
const WATCH_DELIVERED: &str = "watch_delivered";
pub(crate) const WATCH_IN: &str = "watch_in";

/// The programs for interfaces.
const CLASSIFIERS: [&str; 4] = [ENCAPSULATE, DECAPSULATE, WATCH_OUT, WATCH_DELIVERED];

// linux/if_arp.h
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const ARPHRD_NONE: u16 = 65534;

/// The hooks of a [`Path`](crate::Path), for any thread. The programs stay attached until the path and all values of this kind
/// are gone, or the process.
#[derive(Clone)]
pub struct Hooks(Arc<Mutex<Attached>>);

pub(crate) struct Attached {
    ebpf: Ebpf,
    /// By the interface's index, with the program's name.
    links: Vec<(u32, &'static str, SchedClassifierLinkId)>,
}

impl Hooks {
    /// Loads the programs of the object into the kernel.
    pub(crate) fn load(ebpf: Ebpf) -> Result<Self, PathError> {
        let mut attached = Attached {
            ebpf,
            links: Vec::new(),
        };
        for name in CLASSIFIERS {
            let program = attached.classifier(name)?;
            program.load().map_err(|error| not_loaded(name, error))?;
        }
        let program = attached.socket_filter()?;
        program
            .load()
            .map_err(|error| not_loaded(WATCH_IN, error))?;
        Ok(Self(Arc::new(Mutex::new(attached))))
    }

    /// Watches the datagrams that arrive at a socket of a service port. Only peers of watched ports can be proven.
    ///
    /// A filter that the socket has is replaced, and ours stays until the socket is closed; it takes every datagram.
    ///
    /// # Errors
    ///
    /// [`PathError::Attach`].
    pub fn watch(&self, service: impl AsFd) -> Result<(), PathError> {
        self.attached().watch(service)
    }

    /// Attaches to both directions of a TUN interface, behind the programs that are there; returns its index.
    ///
    /// # Errors
    ///
    /// [`PathError::NoInterface`], [`PathError::Kind`], [`PathError::Attach`] (before Linux 6.6).
    pub fn attach_overlay(&self, name: &str) -> Result<u32, PathError> {
        let index = index_of(name, Kind::Tun)?;
        let mut attached = self.attached();
        attached.attach((name, index), ENCAPSULATE, TcAttachType::Egress)?;
        attached.attach((name, index), WATCH_DELIVERED, TcAttachType::Ingress)?;
        Ok(index)
    }

    /// Attaches the program that encapsulates alone.
    pub(crate) fn attach_encapsulate(&self, name: &str) -> Result<u32, PathError> {
        let index = index_of(name, Kind::Tun)?;
        let mut attached = self.attached();
        attached.attach((name, index), ENCAPSULATE, TcAttachType::Egress)?;
        Ok(index)
    }

    /// Attaches to both directions of an interface to the IPv4 Internet, behind the programs that are there; returns its
    /// index. There may be several.
    ///
    /// # Errors
    ///
    /// [`PathError::NoInterface`], [`PathError::Kind`], [`PathError::Attach`] (before Linux 6.6).
    pub fn attach_underlay(&self, name: &str) -> Result<u32, PathError> {
        let index = index_of(name, Kind::Ethernet)?;
        let mut attached = self.attached();
        attached.attach((name, index), WATCH_OUT, TcAttachType::Egress)?;
        attached
            .attach((name, index), DECAPSULATE, TcAttachType::Ingress)
            .inspect_err(|_| attached.detach(index))?;
        Ok(index)
    }

    /// Detaches from an interface, which may be gone by now. Its peers are left to user space.
    pub fn detach(&self, index: u32) {
        self.attached().detach(index);
    }

    pub(crate) fn attached(&self) -> MutexGuard<'_, Attached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

impl Attached {
    fn watch(&mut self, service: impl AsFd) -> Result<(), PathError> {
        self.socket_filter()?
            .attach(service)
            .map_err(|error| not_attached(WATCH_IN, "the service port", error))
    }

    fn attach(
        &mut self,
        (interface, index): (&str, u32),
        name: &'static str,
        hook: TcAttachType,
    ) -> Result<(), PathError> {
        let options = TcAttachOptions::TcxOrder(LinkOrder::last());
        let link = self
            .classifier(name)?
            .attach_with_options(interface, hook, options)
            .map_err(|error| not_attached(name, format!("`{interface}`"), error))?;
        self.links.push((index, name, link));
        Ok(())
    }

    fn detach(&mut self, index: u32) {
        let (links, others) = std::mem::take(&mut self.links)
            .into_iter()
            .partition::<Vec<_>, _>(|(of, ..)| *of == index);
        self.links = others;
        for (_, name, link) in links {
            if let Ok(program) = self.classifier(name) {
                // It only closes a descriptor.
                let _ = program.detach(link);
            }
        }
    }

    pub(crate) fn classifier(
        &mut self,
        name: &'static str,
    ) -> Result<&mut SchedClassifier, PathError> {
        let program = self.ebpf.program_mut(name).ok_or_else(|| missing(name))?;
        program.try_into().map_err(|_| missing(name))
    }

    fn socket_filter(&mut self) -> Result<&mut SocketFilter, PathError> {
        let program = self.ebpf.program_mut(WATCH_IN);
        let program = program.ok_or_else(|| missing(WATCH_IN))?;
        program.try_into().map_err(|_| missing(WATCH_IN))
    }
}

/// The index of an interface of this kind. A program would look for the headers of another kind at the wrong place.
fn index_of(name: &str, wanted: Kind) -> Result<u32, PathError> {
    let index = if_nametoindex(name).map_err(|_| PathError::NoInterface(name.to_owned()))?;
    let interfaces = getifaddrs().map_err(io::Error::from);
    let kind = interfaces
        .map_err(PathError::system("list the interfaces"))?
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| Some(interface.address?.as_link_addr()?.hatype()));
    let fits = match wanted {
        // The C library leaves out the link's address of an interface that has none, and its kind with it.
        Kind::Tun => matches!(kind, None | Some(ARPHRD_NONE)),
        Kind::Ethernet => matches!(kind, Some(ARPHRD_ETHER | ARPHRD_LOOPBACK)),
    };
    if !fits {
        return Err(PathError::Kind {
            name: name.to_owned(),
            wanted: wanted.name(),
            kind: kind.unwrap_or(ARPHRD_NONE),
        });
    }
    Ok(index)
}

/// The kind of an interface, by the header of its packets.
#[derive(Clone, Copy)]
enum Kind {
    /// None.
    Tun,
    /// That of Ethernet.
    Ethernet,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Tun => "TUN interface",
            Self::Ethernet => "Ethernet interface",
        }
    }
}

#[cfg(test)]
mod tests;
