//! Writes positions now and then, and at the end.
//! In: the ledger, derived metrics, what is known of streams, remembered times.  Out: the positions file, and no more times than are needed.  Owns: the store.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Instant;
use crate::custody::{Ledger, Store, StoreError, Times};
use crate::flow::Troubles;
use crate::http::chain;
use crate::metrics::{Own, Registry};
use crate::pipeline::Guard;

/// Positions of targets that nobody has seen for so long are forgotten. Counted while the agent runs, so a long stop
/// forgets nothing.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Positions are not saved more often than this because times take much room.
const EARLIEST: Duration = Duration::from_secs(1);

/// As `/ready` calls it.
const WHO: &str = "positions";

/// What goes with the positions.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    /// Of no use once positions that cover them are saved.
    pub(super) times: Arc<Times>,
    /// Where derived metrics outlive the process.
    pub(super) registry: Option<Arc<Registry>>,
    /// Known of streams; the same for all configurations.
    pub(super) guard: Option<Guard>,
}

/// The task that saves. Without a store (nothing is delivered, so nothing is remembered) it does nothing.
#[derive(Debug)]
pub(super) struct Saver {
    finish: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Saver {
    pub(super) fn start(
        store: Option<Store>,
        period: Duration,
        ledger: Arc<Ledger>,
        beside: Beside,
        own: Arc<Own>,
        troubles: Troubles,
    ) -> Saver {
        let finish = CancellationToken::new();
        let task = store
            .map(|store| tokio::spawn(run(store, period, ledger, beside, own, troubles, finish.clone())));
        Saver { finish, task }
    }

    /// Saves once more and ends.
    pub(super) async fn finish(&mut self) {
        self.finish.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            warn!(%error, "positions could not be saved at the end");
        }
    }
}

async fn run(
    store: Store,
    period: Duration,
    ledger: Arc<Ledger>,
    beside: Beside,
    own: Arc<Own>,
    troubles: Troubles,
    finish: CancellationToken,
) {
    let mut store = Some(store);
    let mut failing = false;
    loop {
        let last = tokio::select! {
            () = sleep(period) => false,
            () = early(&beside.times) => false,
            () = finish.cancelled() => true,
        };
        let forgotten = ledger.forget_unseen(FORGET_AFTER);
        if forgotten > 0 {
            info!(targets = forgotten, "forgot positions of targets that are gone");
        }
        let Some(mut owned) = store.take() else { return };
        let (ledger, with) = (ledger.clone(), beside.clone());
        // fsync may take long on a busy disk; lines go on meanwhile.
        let began = Instant::now();
        let saved = spawn_blocking(move || (save(&mut owned, &ledger, &with), owned)).await;
        let Ok((saved, mut owned)) = saved else { return };
        own.positions_failed.add(owned.take_shared_failures() as f64);
        store = Some(owned);
        match saved {
            Ok(wrote) => {
                own.path.positions_saved(began.elapsed());
                own.positions_written.add(f64::from(u8::from(wrote)));
                if std::mem::take(&mut failing) {
                    troubles.clear(WHO);
                    info!("positions can be saved again");
                }
            }
            Err(error) => {
                own.positions_failed.add(1.0);
                if !std::mem::replace(&mut failing, true) {
                    // Lines go on: what is at stake is that they are sent again after a kill.
                    troubles.warn(WHO, format!("they cannot be saved: {}", chain(&error)));
                    warn!(error = %chain(&error), "positions cannot be saved, trying again");
                }
            }
        }
        if last {
            return;
        }
    }
}

/// Forgets times first: what is committed meanwhile may be saved or not.
fn save(store: &mut Store, ledger: &Ledger, beside: &Beside) -> Result<bool, StoreError> {
    beside.times.forget_committed(ledger);
    let wrote = store.save(ledger, || beside.to_json())?;
    beside.times.trim();
    Ok(wrote)
}

impl Beside {
    fn to_json(&self) -> Vec<Value> {
        let kept = self.registry.as_ref().map(|registry| registry.kept()).unwrap_or_default();
        let guard = self.guard.as_ref().and_then(Guard::save);
        // Names and numbers cannot fail to become JSON.
        let series = kept.into_iter().map(|series| serde_json::to_value(series).unwrap_or_default());
        series.chain(guard.map(|guard| serde_json::to_value(guard).unwrap_or_default())).collect()
    }
}

async fn early(times: &Times) {
    sleep(EARLIEST).await;
    times.growing().await;
}
