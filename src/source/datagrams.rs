//! Receives datagrams as fast as they come.
//! In: a UDP socket.  Out: batches of datagrams.  Owns: the socket; what the kernel says it had no room for.

mod lost;

use std::io;
use std::net::UdpSocket as StdSocket;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Instant;
use crate::metrics::Own;
use crate::source::arrivals::{Arrivals, LAST_WORDS_WITHIN, SILENCE};
use lost::Lost;

/// Longer ones there are not.
const LONGEST: usize = 65_535;

/// What is asked of the kernel for datagrams that wait; it grants up to `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 8 << 20;

/// How often the kernel is asked what it had no room for.
const LOST_PERIOD: Duration = Duration::from_secs(1);

/// Finds the messages in a datagram, of at most so many bytes, and says which are cut.
pub(crate) type Split = fn(&[u8], usize, &mut dyn FnMut(&[u8], bool));

/// Receives until it is told to stop, or nobody takes datagrams any more.
pub(crate) async fn receive(
    socket: StdSocket,
    source: &str,
    own: &Own,
    queue: &mpsc::Sender<Arrivals>,
    stop: &CancellationToken,
    longest: usize,
    split: Split,
) -> io::Result<()> {
    if let Err(error) = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!(source, %error, "the receive buffer stays as it is");
    }
    let mut lost = Lost::of(&socket, own.network.datagrams_lost(source));
    let errors = own.source_errors.with("source", source);
    let socket = UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; LONGEST];
    // One batch; false when nobody takes any.
    let mut receive = async || {
        let mut batch = Arrivals::default();
        while !batch.is_full() {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, sender)) => split(&buffer[..length], longest, &mut |message, is_cut| {
                    batch.push(message, sender.ip(), is_cut);
                }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Of a datagram that was sent before, by whoever had the port; the socket is fine.
                Err(error) => {
                    errors.add(1.0);
                    debug!(source, %error, "a datagram could not be received");
                    break;
                }
            }
        }
        batch.is_empty() || queue.send(batch).await.is_ok()
    };
    let mut look = interval(LOST_PERIOD);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = look.tick() => lost.look(),
            ready = socket.readable() => {
                ready?;
                if !receive().await {
                    return Ok(());
                }
            }
        }
    }
    let last = Instant::now() + LAST_WORDS_WITHIN;
    while Instant::now() < last && timeout(SILENCE, socket.readable()).await.is_ok() && receive().await {}
    lost.look();
    if lost.sum() > 0 {
        warn!(
            source,
            datagrams = lost.sum(),
            "the kernel had no room for all datagrams: raise net.core.rmem_max"
        );
    }
    Ok(())
}
