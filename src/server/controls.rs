//! The pages by which the agent is asked for what is in force, and told to do otherwise.
//! In: requests.  Out: the configuration, the level of the log; wishes.  Owns: nothing.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::info;
use tracing::level_filters::LevelFilter;

use crate::server::View;

/// Somebody asks for the configuration to be read again, and waits to hear how it went.
#[derive(Debug)]
pub(crate) struct Reload(pub(crate) oneshot::Sender<Result<(), String>>);

/// How much the agent logs.
pub(crate) trait LogLevel: Send + Sync {
    fn level(&self) -> LevelFilter;

    fn set_level(&self, level: LevelFilter);

    /// Says how many lines were left out until now.
    fn catch_up(&self);
}

/// What the pages may ask for.
#[derive(Clone)]
pub(crate) struct Controls {
    /// Where there is a page for it.
    pub(crate) reload: Option<mpsc::Sender<Reload>>,
    /// The configuration in force, without secrets.
    pub(crate) config: watch::Receiver<String>,
    pub(crate) log: Arc<dyn LogLevel>,
}

/// Answers when the configuration is in force, or with the reason why it is not.
pub(super) async fn reload(State(view): State<View>) -> (StatusCode, String) {
    let (answer, answered) = oneshot::channel();
    let asked = match view.controls.reload {
        Some(reload) => reload.send(Reload(answer)).await.is_ok(),
        None => false,
    };
    let failed = |reason: &str| (StatusCode::INTERNAL_SERVER_ERROR, format!("{reason}\n"));
    match answered.await {
        Ok(Ok(())) if asked => (StatusCode::OK, String::new()),
        Ok(Err(reason)) => failed(&reason),
        _ => failed("the agent is stopping"),
    }
}

/// YAML, as `-print-config-stderr` shows it.
pub(super) async fn config(State(view): State<View>) -> Response {
    let text = view.controls.config.borrow().clone();
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

pub(super) async fn log_level(State(view): State<View>) -> Response {
    let message = format!("Current log level is {}", view.controls.log.level());
    in_json(&json!({"message": message}))
}

/// `log_level=debug`, in the address or as a form.
pub(super) async fn set_log_level(
    State(view): State<View>,
    RawQuery(query): RawQuery,
    form: String,
) -> Response {
    let query = query.unwrap_or_default();
    let given =
        query.split('&').chain(form.trim().split('&')).find_map(|pair| pair.strip_prefix("log_level="));
    let level = match given {
        Some("debug") => LevelFilter::DEBUG,
        Some("info") => LevelFilter::INFO,
        Some("warn") => LevelFilter::WARN,
        Some("error") => LevelFilter::ERROR,
        other => {
            let message = format!(
                "unrecognized level {:?}: one of debug, info, warn, error",
                other.unwrap_or_default()
            );
            let refusal = in_json(&json!({"status": "error", "message": message}));
            return (StatusCode::BAD_REQUEST, refusal).into_response();
        }
    };
    view.controls.log.set_level(level);
    info!(%level, "the log level was changed");
    let message = format!("Log level set to {level}");
    in_json(&json!({"status": "success", "message": message}))
}

pub(super) fn in_json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
