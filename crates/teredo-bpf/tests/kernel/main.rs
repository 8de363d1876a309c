//! The programs in the kernel, on the real packets of two hosts in namespaces. Needs root.

mod checksums;
mod decapsulate;
mod denied;
mod encapsulate;
mod life;
mod node;
mod order;
mod packet;
mod probe;
mod rules;
mod server;
mod through;
