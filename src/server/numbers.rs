//! `/metrics`.
//! In: the registry, and what is worked out when it is asked for.  Out: a page in the format that is wanted.  Owns: nothing.

use std::io::Write;

use axum::extract::State;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::spawn_blocking;

use crate::clock;
use crate::metrics::{self, Shown, of_stages, of_targets};
use crate::server::{View, accept, targets};

/// A large page takes a while to make: whoever asks whether the agent is ready does not wait for it.
pub(super) async fn numbers(State(view): State<View>, headers: HeaderMap) -> Response {
    match spawn_blocking(move || answer(&view, &headers)).await {
        Ok(answer) => answer,
        // In release builds a panic has ended the process before.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn answer(view: &View, headers: &HeaderMap) -> Response {
    let (format, media) = accept::format(&all(headers, &ACCEPT));
    let page = metrics::page(&families(view), format).into_bytes();
    let head = [(CONTENT_TYPE, media), (VARY, "Accept, Accept-Encoding")];
    if accept::takes_gzip(&all(headers, &ACCEPT_ENCODING))
        && let Some(compressed) = compress(&page)
    {
        return (head, [(CONTENT_ENCODING, "gzip")], compressed).into_response();
    }
    (head, page).into_response()
}

/// All that there is to show, by name.
fn families(view: &View) -> Vec<Shown> {
    view.own.in_flight_bytes.set(view.budget.used().0 as f64);
    view.own.open_chunks.set(view.ledger.open_chunks() as f64);
    view.own.positions_tracked.set(view.ledger.len() as f64);
    view.own.take_stock();
    let targets: Vec<_> = view.targets.readings().iter().map(targets::metrics_of).collect();
    let mut families = view.registry.shown(clock::now());
    families.extend(of_targets(&targets));
    families.extend(of_stages(&view.stages.reports()));
    let mut families = view.namespace.name(families, &targets, &view.own.destinations());
    families.sort_by(|one, other| one.name.cmp(&other.name));
    families
}

/// A header may come in several parts.
fn all(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// Writing into memory does not fail; were it to, the page goes as it is.
fn compress(page: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(page).ok()?;
    encoder.finish().ok()
}
