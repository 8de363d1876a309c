//! The targets of the crate `teredo-tunnel`: segmentation in user space, beside the same by the book.

mod book;
pub mod coalesce;
pub mod cut;
mod packet;
