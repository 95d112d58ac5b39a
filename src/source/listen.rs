//! Ports that sources listen on: taken before anything runs, or, when the configuration changes, as soon as the source
//! before has let go of them.
//! In: addresses.  Out: sockets.  Owns: a socket from its start to its source.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::flow::{Backoff, BackoffSettings};
use crate::metrics::Own;
use crate::targets::Reporter;

/// Between two attempts to take a port.
const RETRY: BackoffSettings =
    BackoffSettings { min: Duration::from_millis(50), max: Duration::from_secs(5) };

/// The source before lets go of its port within moments; what takes longer is said.
const ATTEMPTS_IN_SILENCE: u32 = 8;

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({protocol}): {source}")]
pub(crate) struct PortError {
    address: SocketAddr,
    protocol: &'static str,
    source: io::Error,
}

/// What listens.
pub(crate) trait Socket: Sized + Send {
    const PROTOCOL: &'static str;

    /// A socket that does not block.
    fn bind(address: SocketAddr) -> io::Result<Self>;

    fn local_address(&self) -> io::Result<SocketAddr>;
}

impl Socket for TcpListener {
    const PROTOCOL: &'static str = "tcp";

    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true).map(|()| socket)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Socket for UdpSocket {
    const PROTOCOL: &'static str = "udp";

    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true).map(|()| socket)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

/// One port of one source.
#[derive(Debug)]
pub(crate) struct Port<S> {
    address: SocketAddr,
    taken: Mutex<Option<S>>,
}

/// A port of whatever kind, before anything runs.
pub(crate) trait Take {
    /// Takes the port for the source that will ask for it.
    fn take(&self) -> Result<(), PortError>;
}

impl<S> fmt::Display for Port<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(out)
    }
}

impl<S: Socket> Take for Port<S> {
    fn take(&self) -> Result<(), PortError> {
        let socket = self.bind()?;
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        Ok(())
    }
}

impl<S: Socket> Port<S> {
    pub(crate) fn new(address: SocketAddr) -> Port<S> {
        Port { address, taken: Mutex::new(None) }
    }

    /// Whether both are of the same address.
    pub(crate) fn is_same(&self, other: &Port<S>) -> bool {
        self.address == other.address
    }

    /// The socket, for job `job` of kind `source`; waits until the port is free. `None` when it is told to stop.
    pub(crate) async fn open(
        &self,
        job: &str,
        source: &str,
        own: &Own,
        reporter: &Reporter,
        stop: &CancellationToken,
    ) -> Option<S> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut backoff, mut attempts) = (Backoff::new(RETRY), 0);
        let mut next = taken.map_or_else(|| self.bind(), Ok);
        loop {
            match next {
                Ok(socket) => {
                    if let Ok(address) = socket.local_address() {
                        info!(job, source, %address, protocol = S::PROTOCOL, "listening");
                    }
                    reporter.works();
                    return Some(socket);
                }
                Err(error) => {
                    attempts += 1;
                    own.source_errors.with("source", source).add(1.0);
                    if attempts == ATTEMPTS_IN_SILENCE {
                        reporter.fails(&error);
                        warn!(job, source, %error, "still trying");
                    }
                }
            }
            stop.run_until_cancelled(sleep(backoff.next())).await?;
            next = self.bind();
        }
    }

    fn bind(&self) -> Result<S, PortError> {
        let address = self.address;
        let bound = match S::bind(address) {
            // Every address is `[::]`, for both versions at once; there are systems that have one only.
            Err(_) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !has_ipv6() => {
                S::bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
            }
            bound => bound,
        };
        bound.map_err(|source| PortError { address, protocol: S::PROTOCOL, source })
    }
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// The address to listen on: `host:port`, `[v6]:port`, or `:port` for every address.
pub(crate) fn address(text: &str) -> io::Result<SocketAddr> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| io::Error::other("not a port number"))?;
        return Ok((Ipv6Addr::UNSPECIFIED, port).into());
    }
    text.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the name has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;
    use crate::targets::Target;

    #[test]
    fn an_address_without_a_host_is_every_address() {
        assert_eq!(address(":514").unwrap().to_string(), "[::]:514");
        assert_eq!(address("127.0.0.1:1514").unwrap().to_string(), "127.0.0.1:1514");
        assert_eq!(address("[::1]:1514").unwrap().to_string(), "[::1]:1514");
        for wrong in ["514", ":x", "host", "127.0.0.1:99999"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_address_is_one_of_ipv4_too() {
        let port = Port::<TcpListener>::new(address(":0").unwrap());
        let listener = port.bind().unwrap();
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[tokio::test]
    async fn a_port_is_waited_for_until_the_source_before_lets_go_of_it() {
        let before = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = Port::<TcpListener>::new(before.local_addr().unwrap());
        assert!(port.take().is_err(), "it is taken");
        let (own, stop) = (Own::register(&Registry::default()), CancellationToken::new());
        let errors = own.source_errors.with("source", "x");
        let reporter = Target::of_nobody("x").reporter();
        let opened = port.open("job", "x", &own, &reporter, &stop);
        let release = async {
            while errors.value() < 2.0 {
                tokio::task::yield_now().await;
            }
            drop(before);
        };
        let (opened, ()) = tokio::join!(opened, release);
        assert_eq!(opened.unwrap().local_addr().unwrap(), port.address);
    }

    #[tokio::test]
    async fn a_source_that_is_stopped_waits_for_its_port_no_longer() {
        let before = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = Port::<UdpSocket>::new(before.local_addr().unwrap());
        let (own, stop) = (Own::register(&Registry::default()), CancellationToken::new());
        stop.cancel();
        let reporter = Target::of_nobody("x").reporter();
        assert!(port.open("job", "x", &own, &reporter, &stop).await.is_none());
    }
}
