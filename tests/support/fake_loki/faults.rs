//! The script of misbehaviour. In: what a test queues.  Out: the fault of the next push.  Owns: the queue.

use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers without storing.
    Status(u16, String),
    /// Waits, then serves as usual: a slow server, or one that outlives its client's timeout and stores all the same.
    Delay(Duration),
    /// Reads the push and never answers.
    Hang,
    /// Reads the push, then resets the connection.
    Reset,
    /// Resets the connection with the body unread.
    ResetBeforeReading,
    /// Stores the push, then resets the connection: the reply is lost.
    StoreThenReset,
    /// Stores the push, then answers with this status: a proxy that gave up too early.
    StoreThenStatus(u16),
    /// Refuses with a rate limit. The recorded Loki sends no `Retry-After`; gateways in front of it do (seconds).
    RateLimit429 { retry_after: Option<u32> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    Status,
    Delay,
    Hang,
    Reset,
    ResetBeforeReading,
    StoreThenReset,
    StoreThenStatus,
    RateLimit429,
}

impl Fault {
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Status(..) => FaultKind::Status,
            Self::Delay(_) => FaultKind::Delay,
            Self::Hang => FaultKind::Hang,
            Self::Reset => FaultKind::Reset,
            Self::ResetBeforeReading => FaultKind::ResetBeforeReading,
            Self::StoreThenReset => FaultKind::StoreThenReset,
            Self::StoreThenStatus(_) => FaultKind::StoreThenStatus,
            Self::RateLimit429 { .. } => FaultKind::RateLimit429,
        }
    }
}

#[derive(Default)]
pub(super) struct Script {
    next: VecDeque<Fault>,
    always: Option<Fault>,
}

impl Script {
    pub(super) fn push_next(&mut self, n: usize, fault: Fault) {
        self.next.extend(std::iter::repeat_n(fault, n));
    }

    pub(super) fn set_always(&mut self, fault: Fault) {
        self.always = Some(fault);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take(&mut self) -> Option<Fault> {
        self.next.pop_front().or_else(|| self.always.clone())
    }

    pub(super) fn left(&self) -> usize {
        self.next.len()
    }
}
