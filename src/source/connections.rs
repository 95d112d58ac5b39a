//! Senders over TCP.
//! In: connections, with or without TLS.  Out: their messages, in batches.  Owns: one task for each connection.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Instant;
use crate::http::ServerTls;
use crate::metrics::Own;
use crate::source::arrivals::{Arrivals, LAST_WORDS_WITHIN, SILENCE};
use crate::source::names::Names;
use crate::source::syslog::framing::{Frame, FrameError, Framer};

/// Read from a connection at once.
const READ: usize = 16 * 1024;

/// A handshake takes two journeys to the sender and back.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Saying over TLS that this is the end.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Another line of the same message follows within this, or is a message of its own.
const LINGER: Duration = Duration::from_millis(250);

/// How connections are kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tcp {
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// One that is silent for so long is closed.
    pub(crate) idle: Duration,
    /// Connections at a time; further ones are closed at once.
    pub(crate) most: usize,
    /// Bytes of a message.
    pub(crate) longest: usize,
}

/// All connections of one listener.
pub(crate) struct Connections(Arc<Shared>);

/// What each of them needs.
struct Shared {
    tcp: Tcp,
    /// The kind of source, as metrics call it.
    source: &'static str,
    names: Arc<Names>,
    queue: mpsc::Sender<Arrivals>,
    own: Arc<Own>,
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
    #[error("there are as many as `max_connections` allows ({0})")]
    Limit(usize),
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
            End::Limit(_) => "limit",
            End::Tls(_) => "tls",
            End::Io(_) => "error",
            End::Framing(_) => "framing",
        }
    }

    /// Why there is a message that no line was made of.
    fn lost(&self) -> Option<&'static str> {
        match self {
            End::Framing(FrameError::TooLong { .. }) => Some("too_long"),
            End::Framing(FrameError::Incomplete { .. }) => Some("incomplete"),
            _ => None,
        }
    }
}

impl Connections {
    pub(crate) fn new(
        tcp: Tcp,
        source: &'static str,
        names: Arc<Names>,
        queue: mpsc::Sender<Arrivals>,
        own: &Arc<Own>,
    ) -> Connections {
        let own = own.clone();
        Connections(Arc::new(Shared { tcp, source, names, queue, own }))
    }

    /// Accepts connections until it is told to stop, and then ends them.
    pub(crate) async fn serve(self, socket: StdListener, stop: &CancellationToken) -> io::Result<()> {
        let Connections(shared) = self;
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
            if tasks.len() >= shared.tcp.most {
                shared.ended(peer, &End::Limit(shared.tcp.most));
            } else {
                tasks.spawn(shared.clone().connection(socket, peer, stop.clone()));
            }
        }
        // Who has connected already may have said something.
        while tasks.len() < shared.tcp.most
            && let Some((socket, peer)) = Listener::accept(&mut listener).now_or_never()
        {
            tasks.spawn(shared.clone().connection(socket, peer, stop.clone()));
        }
        // Whoever comes next finds the port free at once.
        drop(listener);
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

async fn shake_hands(acceptor: TlsAcceptor, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    timeout(HANDSHAKE_WITHIN, acceptor.accept(socket)).await?
}

/// One sender.
struct Conversation<'s> {
    shared: &'s Shared,
    sender: IpAddr,
    framer: Framer,
}

impl Shared {
    async fn connection(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let open = self.own.network.connections_active(self.source);
        open.add(1.0);
        let acceptor = self.tcp.tls.as_ref().map(|tls| TlsAcceptor::from(tls.current()));
        let end = match acceptor {
            None => self.hear(socket, peer.ip(), &stop).await,
            Some(acceptor) => match stop.run_until_cancelled(shake_hands(acceptor, socket)).await {
                Some(Ok(stream)) => self.hear(stream, peer.ip(), &stop).await,
                Some(Err(error)) => End::Tls(error),
                None => End::Stopped,
            },
        };
        open.add(-1.0);
        self.ended(peer, &end);
    }

    fn ended(&self, peer: SocketAddr, end: &End) {
        self.own.network.connections_ended(self.source, end.reason()).add(1.0);
        if matches!(end, End::Closed | End::Stopped | End::Idle) {
            debug!(source = self.source, sender = %peer, error = %end, "connection ended");
        } else {
            let reason = end.reason();
            warn!(source = self.source, reason, sender = %peer, error = %end, "a connection was given up");
        }
    }

    /// Reads messages until the connection ends, and takes leave.
    async fn hear(
        &self,
        stream: impl AsyncRead + AsyncWrite,
        sender: IpAddr,
        stop: &CancellationToken,
    ) -> End {
        // Where it is told to stop meanwhile it goes without.
        let _: Option<()> = stop.run_until_cancelled(self.names.learn(sender)).await;
        let mut stream = pin!(stream);
        let mut conversation = Conversation { shared: self, sender, framer: Framer::new(self.tcp.longest) };
        let end = match conversation.read(&mut stream, stop).await {
            Ok(end) => end,
            Err(error) => error,
        };
        // What has no end yet has none to come; after an error of framing nobody knows what it would be.
        let finished = match end {
            End::Framing(_) => Ok(()),
            _ => conversation.finish().await,
        };
        let lost = [&end].into_iter().chain(finished.as_ref().err()).find_map(End::lost);
        if let Some(reason) = lost {
            self.own.network.messages_dropped(self.source, reason).add(1.0);
        }
        // Who does not listen does not learn that this is the end.
        drop(timeout(GOODBYE_WITHIN, stream.shutdown()).await);
        match (end, finished) {
            (End::Closed, Err(end)) => end,
            (end, _) => end,
        }
    }
}

impl Conversation<'_> {
    async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        stop: &CancellationToken,
    ) -> Result<End, End> {
        let idle = self.shared.tcp.idle;
        let mut buffer = vec![0; READ];
        loop {
            let within = if self.framer.is_waiting() { LINGER.min(idle) } else { idle };
            let read = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                read = timeout(within, stream.read(&mut buffer)) => read,
            };
            match read {
                Ok(Ok(0)) => return Ok(End::Closed),
                Ok(Ok(length)) => self.take(&buffer[..length]).await?,
                Ok(Err(error)) => return Ok(End::Io(error)),
                Err(_) if self.framer.is_waiting() => {
                    self.hand_on(|framer, each| {
                        framer.release(each);
                        Ok(())
                    })
                    .await?;
                }
                Err(_) => return Ok(End::Idle),
            }
        }
        let last = Instant::now() + LAST_WORDS_WITHIN;
        while Instant::now() < last
            && let Ok(Ok(length @ 1..)) = timeout(SILENCE, stream.read(&mut buffer)).await
        {
            self.take(&buffer[..length]).await?;
        }
        Ok(End::Stopped)
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.hand_on(|framer, each| framer.push(bytes, each)).await
    }

    async fn finish(mut self) -> Result<(), End> {
        let whole = std::mem::replace(&mut self.framer, Framer::new(0));
        self.hand_on(|_, each| whole.finish(each)).await
    }

    /// Hands on the messages that this completes, also those before an error.
    async fn hand_on(
        &mut self,
        frame: impl FnOnce(&mut Framer, &mut dyn FnMut(Frame<'_>)) -> Result<(), FrameError>,
    ) -> Result<(), End> {
        let mut batch = Arrivals::default();
        let framed = frame(&mut self.framer, &mut |frame| batch.push(frame.bytes, self.sender, frame.is_cut));
        if !batch.is_empty() {
            self.shared.queue.send(batch).await.map_err(|_| End::Stopped)?;
        }
        Ok(framed?)
    }
}
