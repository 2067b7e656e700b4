//! THE loop: one thread owns the user agent and the switch.

use crate::model::{Command, Reply};

/// A way to ask the running decisions, for the API; cheap to clone.
#[derive(Clone, Debug)]
pub struct Door;

/// The switchboard has stopped, or did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the switchboard does not answer; is Vigie stopping?")]
pub struct DoorClosed;

impl Door {
    /// Asks, and waits for the reply.
    #[allow(clippy::unused_async, reason = "replaced when the loop stands")]
    pub async fn ask(&self, _command: Command) -> Result<Reply, DoorClosed> {
        Err(DoorClosed)
    }
}
