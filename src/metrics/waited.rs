//! How long somebody waited.
//! In: what is waited for.  Out: seconds, counted while it lasts.  Owns: nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;

use crate::clock::Instant;
use crate::metrics::Series;

/// A wait that goes on is counted so often, so that it shows before it ends.
const STEP: Duration = Duration::from_secs(1);

/// Awaits something, which its caller has pinned: a future keeps what it is given beside what it has pinned itself, and of
/// those that wait there is one for every target. What is there at once costs no look at the clock. Cancel-safe if `what` is.
pub(crate) async fn waited<F: Future + Unpin>(seconds: &Series, mut what: F) -> F::Output {
    if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(Pin::new(&mut what).poll(context))).await {
        return output;
    }
    loop {
        let since = Instant::now();
        let output = tokio::select! {
            biased;
            output = &mut what => Some(output),
            () = sleep(STEP) => None,
        };
        seconds.add(since.elapsed().as_secs_f64());
        if let Some(output) = output {
            return output;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::metrics::{Kind, Registry};

    #[tokio::test]
    async fn what_is_there_at_once_is_no_wait() {
        let series = Registry::default().family("s", "", Kind::Counter, None).unwrap().single();
        assert_eq!(waited(&series, pin!(async { 7 })).await, 7);
        assert_eq!(series.value(), 0.0);
        let pause = Duration::from_millis(20);
        waited(&series, pin!(sleep(pause))).await;
        assert!(series.value() >= 0.02, "{}", series.value());
    }

    #[tokio::test]
    async fn a_wait_shows_while_it_lasts() {
        let series = Registry::default().family("s", "", Kind::Counter, None).unwrap().single();
        let seen = async {
            while series.value() == 0.0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = waited(&series, std::future::pending()) => unreachable!("nothing ends it"),
            () = seen => {}
        }
    }
}
