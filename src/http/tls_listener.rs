//! Accepts connections over TLS.
//! In: sockets.  Out: those whose handshake succeeded.  Owns: the handshakes under way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::http::server_tls::Tls;

/// A handshake takes two journeys to the client and back.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Further connections wait in the system's queue.
const MOST_HANDSHAKES: usize = 64;

/// A listener whose connections are encrypted.
pub(crate) struct TlsListener {
    sockets: TcpListener,
    tls: Arc<Tls>,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(crate) fn new(sockets: TcpListener, tls: Arc<Tls>) -> TlsListener {
        TlsListener { sockets, tls, handshakes: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// The next connection that is ready, whichever began first. Dropping the future loses none.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let room = self.handshakes.len() < MOST_HANDSHAKES;
            tokio::select! {
                (socket, peer) = Listener::accept(&mut self.sockets), if room => {
                    let acceptor = TlsAcceptor::from(self.tls.current());
                    self.handshakes.spawn(shake_hands(acceptor, socket, peer));
                }
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = ended {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets.local_addr()
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<(TlsStream<TcpStream>, SocketAddr)> {
    match timeout(HANDSHAKE_WITHIN, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => Some((stream, peer)),
        Ok(Err(error)) => {
            debug!(sender = %peer, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            debug!(sender = %peer, within = ?HANDSHAKE_WITHIN, "TLS handshake took too long");
            None
        }
    }
}
