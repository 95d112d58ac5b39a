//! Senders over TCP.
//! In: connections, with or without TLS.  Out: their messages, in batches.  Owns: one task for each connection.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::flow::Seldom;
use crate::metrics::Own;
use crate::source::arrivals::Arrivals;
use crate::source::names::Names;
use crate::source::syslog::framing::{Frame, FrameError, Framer};
use crate::source::syslog::{KIND, Tcp};

/// Read from a connection at once.
const READ: usize = 16 * 1024;

/// What a connection may have in the kernel when the source ends, and is read still.
const MOST_AT_END: usize = 1 << 20;

/// A handshake takes two journeys to the sender and back.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Another line of the same message follows within this, or is a message of its own.
const LINGER: Duration = Duration::from_millis(250);

/// All connections of one listener.
pub(super) struct Connections {
    tcp: Tcp,
    complaint: Seldom,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// What each of them needs.
struct Shared {
    idle: Duration,
    longest: usize,
    names: Arc<Names>,
    queue: mpsc::Sender<Arrivals>,
    own: Own,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the sender has closed it")]
    Closed,
    #[error("nothing came for too long")]
    Idle,
    #[error("the listener is stopping")]
    Stopped,
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Framing(#[from] FrameError),
}

impl End {
    fn reason(&self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Idle => "idle",
            End::Stopped => "stopped",
            End::Tls(_) => "tls",
            End::Io(_) => "error",
            End::Framing(_) => "framing",
        }
    }
}

impl Connections {
    pub(super) fn new(
        tcp: Tcp,
        longest: usize,
        names: Arc<Names>,
        queue: mpsc::Sender<Arrivals>,
        own: &Own,
    ) -> Connections {
        let shared = Shared { idle: tcp.idle, longest, names, queue, own: own.clone() };
        Connections {
            tcp,
            complaint: Seldom::default(),
            shared: Arc::new(shared),
            stop: CancellationToken::new(),
        }
    }

    /// Accepts connections until it is told to stop, and then ends them.
    pub(super) async fn serve(mut self, socket: StdListener, stop: &CancellationToken) -> io::Result<()> {
        let mut listener = TcpListener::from_std(socket)?;
        let mut tasks = JoinSet::new();
        loop {
            let (socket, peer) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(_) = tasks.join_next() => continue,
                // Waits where there are no more descriptors.
                accepted = Listener::accept(&mut listener) => accepted,
            };
            if tasks.len() >= self.tcp.most {
                self.shared.own.network.connections_ended(KIND, "limit").add(1.0);
                if let Some(before) = self.complaint.speak() {
                    warn!(%peer, max_connections = self.tcp.most, silent_before = before, "too many connections, closing this one");
                }
                continue;
            }
            let acceptor = self.tcp.tls.as_ref().map(|tls| TlsAcceptor::from(tls.current()));
            tasks.spawn(connection(socket, peer, acceptor, self.shared.clone(), self.stop.clone()));
        }
        // Whoever comes next finds the port free at once.
        drop(listener);
        self.stop.cancel();
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

async fn connection(
    socket: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let open = shared.own.network.connections_active(KIND);
    open.add(1.0);
    let read = async {
        match acceptor {
            None => shared.read(socket, peer.ip(), &stop).await,
            Some(acceptor) => {
                let handshake = timeout(HANDSHAKE_WITHIN, acceptor.accept(socket));
                let shaken = stop.run_until_cancelled(handshake).await.ok_or(End::Stopped)?;
                let stream =
                    shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(End::Tls)?;
                shared.read(stream, peer.ip(), &stop).await
            }
        }
    };
    let end = read.await.err().unwrap_or(End::Closed);
    open.add(-1.0);
    shared.own.network.connections_ended(KIND, end.reason()).add(1.0);
    match end {
        End::Closed | End::Stopped | End::Idle => debug!(%peer, %end, "connection ended"),
        // A scanner, or a sender that is set up wrongly and comes again and again: the count says how often.
        End::Tls(_) | End::Io(_) | End::Framing(_) => info!(%peer, %end, "connection given up"),
    }
}

impl Shared {
    /// Reads messages until the connection ends. `Ok` where the sender closed it.
    async fn read(
        &self,
        stream: impl AsyncRead,
        sender: IpAddr,
        stop: &CancellationToken,
    ) -> Result<(), End> {
        self.names.learn(sender).await;
        let mut stream = pin!(stream);
        let mut framer = Framer::new(self.longest);
        let mut buffer = vec![0; READ];
        let end = loop {
            let within = if framer.is_waiting() { LINGER.min(self.idle) } else { self.idle };
            let read = tokio::select! {
                biased;
                () = stop.cancelled() => break End::Stopped,
                read = timeout(within, stream.read(&mut buffer)) => read,
            };
            match read {
                Ok(Ok(0)) => break End::Closed,
                Ok(Ok(length)) => self.take(&mut framer, &buffer[..length], sender).await?,
                Ok(Err(error)) => break End::Io(error),
                Err(_) if framer.is_waiting() => {
                    let mut batch = Arrivals::default();
                    framer.release(&mut |frame: Frame<'_>| batch.push(frame.bytes, sender, frame.is_cut));
                    self.hand_on(batch).await?;
                }
                Err(_) => break End::Idle,
            }
        };
        if matches!(end, End::Stopped) {
            let mut left = MOST_AT_END;
            while let Some(Ok(length @ 1..)) = stream.read(&mut buffer).now_or_never() {
                self.take(&mut framer, &buffer[..length], sender).await?;
                left = left.saturating_sub(length);
                if left == 0 {
                    break;
                }
            }
        }
        let mut batch = Arrivals::default();
        let finished = framer.finish(&mut |frame: Frame<'_>| batch.push(frame.bytes, sender, frame.is_cut));
        self.hand_on(batch).await?;
        match end {
            End::Closed => Ok(finished?),
            end => Err(end),
        }
    }

    /// Hands on the messages that these bytes complete, also those before an error.
    async fn take(&self, framer: &mut Framer, bytes: &[u8], sender: IpAddr) -> Result<(), End> {
        let mut batch = Arrivals::default();
        let pushed =
            framer.push(bytes, &mut |frame: Frame<'_>| batch.push(frame.bytes, sender, frame.is_cut));
        self.hand_on(batch).await?;
        Ok(pushed?)
    }

    async fn hand_on(&self, batch: Arrivals) -> Result<(), End> {
        if !batch.is_empty() {
            self.queue.send(batch).await.map_err(|_| End::Stopped)?;
        }
        Ok(())
    }
}
