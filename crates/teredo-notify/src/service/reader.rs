//! The status, for the process of the service itself.

use std::sync::Arc;

use super::context::Context;
use super::methods;
use crate::types::Status;

/// Reads the status as `GetStatus` returns it, without a connection. It outlives the service.
#[derive(Debug, Clone)]
pub struct StatusReader(Arc<Context>);

impl StatusReader {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// The status now.
    pub async fn read(&self) -> Status {
        methods::status(&self.0).await
    }
}
