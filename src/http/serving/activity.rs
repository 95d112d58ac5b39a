//! What a connection is doing, and since when.
//! In: bytes, requests, answers.  Out: the step it is at.  Owns: a stream between a client and HTTP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::Instant;

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The head of a request is to come.
    Head,
    /// A request is being answered.
    Answer,
    /// The answer is out.
    Idle,
}

/// The step a connection is at.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    step: Step,
    since: Instant,
    /// The answer is made; what is left of it is to be written.
    answered: bool,
}

impl Activity {
    /// A connection that was just made.
    pub(super) fn new() -> Activity {
        Activity(Mutex::new(State { step: Step::Head, since: Instant::now(), answered: false }))
    }

    pub(super) fn now(&self) -> (Step, Instant) {
        let state = self.state();
        (state.step, state.since)
    }

    /// Since when a request has been waited for, if it is.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let (step, since) = self.now();
        (step != Step::Answer).then_some(since)
    }

    /// A request is there.
    pub(super) fn asked(&self) {
        self.state().begin(Step::Answer);
    }

    /// Its answer is there.
    pub(super) fn answered(&self) {
        self.state().answered = true;
    }

    fn read(&self) {
        let mut state = self.state();
        if state.step == Step::Idle {
            state.begin(Step::Head);
        }
    }

    /// Nothing is left to be written.
    fn flushed(&self) {
        let mut state = self.state();
        if state.answered {
            state.begin(Step::Idle);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, step: Step) {
        *self = State { step, since: Instant::now(), answered: false };
    }
}

/// A stream that notes what happens on it.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Watched<S> {
        Watched { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// HTTP flushes once it has written all it has.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
