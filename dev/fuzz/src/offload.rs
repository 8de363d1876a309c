//! The targets of the crate `teredo-tunnel`: segmentation in user space, beside the reference.

pub mod coalesce;
pub mod cut;
