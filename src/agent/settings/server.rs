//! The `server` block: pages, and the agent's own log.
//! In: the block.  Out: where to listen, what to log.  Owns: its table.

mod https;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::config::{Block, Invalid, Kind, Node, Row, Table, row};
use crate::http::Limits;
use crate::server;

/// What the block says.
pub(super) struct Server {
    /// `None` where the server is disabled.
    pub(super) http: Option<server::Settings>,
    pub(super) log_level: LevelFilter,
    pub(super) log_format: LogFormat,
    pub(super) runtime_reload: bool,
    pub(super) stalled_after: Duration,
}

/// How long nothing may get through before the agent is not ready.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// How the agent writes its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// `key=value` pairs, as Go programs write them.
    Logfmt,
    /// An object a line.
    Json,
}

/// Promtail listens on port 80 unless told otherwise; its packages, and everyone's configurations, say 9080.
const DEFAULT_PORT: u16 = 9080;

/// Connections at a time, unless configured: a quarter of 1024 descriptors is not for files, and shared.
const MOST_CONNECTIONS: usize = 100;

const READ_WITHIN: Duration = Duration::from_secs(30);
const WRITE_WITHIN: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(120);

/// Bytes of a request's head.
const LONGEST_HEAD: usize = 16 * 1024;

const fn ignored(key: &'static str, kind: Kind, default: &'static str) -> Row {
    row(key, kind, default, "").without_effect()
}

pub(super) static SERVER: Table = Table(&[
    row("http_listen_address", Kind::Text, "", "An IP address or `localhost`; empty is every address"),
    row("http_listen_port", Kind::Count, "9080", "0 takes a free port and logs it"),
    row("http_path_prefix", Kind::Text, "", "What comes before every path, such as `/tailwater`"),
    row("register_instrumentation", Kind::Boolean, "true", "Whether there is a /metrics page"),
    row("disable", Kind::Boolean, "false", "No server at all"),
    row(
        "stalled_after",
        Kind::Duration,
        "60s",
        "`/ready` says no when lines are behind and for so long nothing was acknowledged, by a client or of all lines",
    ),
    row("log_level", Kind::Text, "info", "debug, info, warn or error"),
    row("log_format", Kind::Text, "logfmt", "logfmt or json"),
    row(
        "http_tls_config",
        Kind::Block(&https::TLS),
        "",
        "Serves HTTPS where it has a certificate and its key",
    ),
    row(
        "tls_min_version",
        Kind::Text,
        "VersionTLS12",
        "`VersionTLS12` or `VersionTLS13`; `VersionTLS10` and `VersionTLS11` mean `VersionTLS12`",
    ),
    row(
        "enable_runtime_reload",
        Kind::Boolean,
        "false",
        "A /reload page, and a look at the configuration file when it changes; SIGHUP reloads in any case",
    ),
    row(
        "http_listen_conn_limit",
        Kind::Count,
        "0",
        "Connections at a time, 2 at least; 0 means 100. Where they are not enough, the one that waits longest is closed",
    ),
    row(
        "http_server_read_timeout",
        Kind::Duration,
        "30s",
        "Longest reading of a request; 0 means the default, here and below",
    ),
    row("http_server_read_header_timeout", Kind::Duration, "0s", "Of its head, where that is to be shorter"),
    row("http_server_write_timeout", Kind::Duration, "30s", "From a request until its answer is taken"),
    row(
        "http_server_idle_timeout",
        Kind::Duration,
        "2m",
        "Between an answer and the next request of a connection",
    ),
    ignored("http_listen_network", Kind::Text, "tcp"),
    ignored("http_log_closed_connections_without_response_enabled", Kind::Boolean, "false"),
    ignored("graceful_shutdown_timeout", Kind::Duration, "30s"),
    ignored("external_url", Kind::Text, ""),
    ignored("health_check_target", Kind::Boolean, "true"),
    ignored("profiling_enabled", Kind::Boolean, "false"),
    ignored("proxy_protocol_enabled", Kind::Boolean, "false"),
    ignored("tls_cipher_suites", Kind::Text, ""),
    ignored("log_source_ips_enabled", Kind::Boolean, "false"),
    ignored("log_source_ips_full", Kind::Boolean, "false"),
    ignored("log_source_ips_header", Kind::Text, ""),
    ignored("log_source_ips_regex", Kind::Text, ""),
    ignored("log_request_headers", Kind::Boolean, "false"),
    ignored("log_request_at_info_level_enabled", Kind::Boolean, "false"),
    ignored("log_request_exclude_headers_list", Kind::Text, ""),
    ignored("trace_request_headers", Kind::Boolean, "false"),
    ignored("trace_request_exclude_headers_list", Kind::Text, ""),
    ignored("create_new_traces", Kind::Boolean, "false"),
    ignored("report_grpc_codes_in_instrumentation_label_enabled", Kind::Boolean, "false"),
    ignored("cluster_validation", Kind::Any, ""),
    ignored("grpc_listen_network", Kind::Text, "tcp"),
    ignored("grpc_listen_address", Kind::Text, ""),
    ignored("grpc_listen_port", Kind::Count, "9095"),
    ignored("grpc_listen_conn_limit", Kind::Count, "0"),
    ignored("grpc_collect_max_streams_by_conn", Kind::Boolean, "true"),
    ignored("grpc_tls_config", Kind::Any, ""),
    ignored("grpc_server_max_recv_msg_size", Kind::Count, "4194304"),
    ignored("grpc_server_max_send_msg_size", Kind::Count, "4194304"),
    ignored("grpc_server_max_concurrent_streams", Kind::Count, "100"),
    ignored("grpc_server_max_connection_idle", Kind::Duration, ""),
    ignored("grpc_server_max_connection_age", Kind::Duration, ""),
    ignored("grpc_server_max_connection_age_grace", Kind::Duration, ""),
    ignored("grpc_server_keepalive_time", Kind::Duration, "2h"),
    ignored("grpc_server_keepalive_timeout", Kind::Duration, "20s"),
    ignored("grpc_server_min_time_between_pings", Kind::Duration, "5m"),
    ignored("grpc_server_ping_without_stream_allowed", Kind::Boolean, "false"),
    ignored("grpc_server_num_workers", Kind::Count, "0"),
    ignored("grpc_server_stats_tracking_enabled", Kind::Boolean, "true"),
    ignored("grpc_server_recv_buffer_pools_enabled", Kind::Boolean, "false"),
]);

pub(super) fn decode(block: &Block<'_>) -> Result<Server, Invalid> {
    let address = block.optional("http_listen_address", |node| match node.text()? {
        "" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.parse().map_err(|_| node.invalid("expected an IP address")),
    })?;
    let port = block.optional("http_listen_port", |node| {
        let port = node.count()?;
        u16::try_from(port).map_err(|_| node.invalid(format!("{port} is no port number")))
    })?;
    let listen =
        SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port.unwrap_or(DEFAULT_PORT));
    let tls = https::decode(block)?;
    let disabled = block.optional("disable", Node::boolean)?.unwrap_or(false);
    let http = server::Settings {
        listen,
        prefix: block.optional("http_path_prefix", prefix)?.unwrap_or_default(),
        metrics: block.optional("register_instrumentation", Node::boolean)?.unwrap_or(true),
        tls: tls.map(Arc::new),
        limits: limits(block)?,
    };
    Ok(Server {
        http: (!disabled).then_some(http),
        log_level: block.optional("log_level", log_level)?.unwrap_or(LevelFilter::INFO),
        log_format: block.optional("log_format", log_format)?.unwrap_or(LogFormat::Logfmt),
        stalled_after: block.optional("stalled_after", positive)?.unwrap_or(STALLED_AFTER),
        runtime_reload: block.optional("enable_runtime_reload", Node::boolean)?.unwrap_or(false),
    })
}

fn positive(node: &Node) -> Result<Duration, Invalid> {
    let duration = node.duration()?;
    if duration.is_zero() { Err(node.invalid("it must be above 0")) } else { Ok(duration) }
}

fn limits(block: &Block<'_>) -> Result<Limits, Invalid> {
    let duration = |key| Ok(block.optional(key, Node::duration)?.filter(|duration| !duration.is_zero()));
    let read = duration("http_server_read_timeout")?.unwrap_or(READ_WITHIN);
    Ok(Limits {
        most: connection_limit(block)?.unwrap_or(MOST_CONNECTIONS),
        head: duration("http_server_read_header_timeout")?.unwrap_or(read).min(read),
        answer: Some(duration("http_server_write_timeout")?.unwrap_or(WRITE_WITHIN)),
        idle: duration("http_server_idle_timeout")?.unwrap_or(IDLE),
        longest_head: LONGEST_HEAD,
    })
}

/// Connections at a time, where it is said how many.
pub(super) fn connection_limit(block: &Block<'_>) -> Result<Option<usize>, Invalid> {
    let most = block.optional("http_listen_conn_limit", |node| match node.count()? {
        1 => Err(node
            .invalid("one place is kept free for whoever comes next")
            .help("2 at least, or 0 for the default")),
        most => Ok(usize::try_from(most).unwrap_or(usize::MAX)),
    })?;
    Ok(most.filter(|most| *most > 0))
}

fn prefix(node: &Node) -> Result<String, Invalid> {
    let text = node.text()?.trim_end_matches('/');
    let valid = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
    if valid && (text.is_empty() || text.starts_with('/')) {
        Ok(text.to_owned())
    } else {
        Err(node.invalid("a path prefix begins with `/` and holds letters, digits, `-`, `_`, `.` and `~`"))
    }
}

fn log_level(node: &Node) -> Result<LevelFilter, Invalid> {
    match node.text()? {
        "debug" => Ok(LevelFilter::DEBUG),
        "" | "info" => Ok(LevelFilter::INFO),
        "warn" => Ok(LevelFilter::WARN),
        "error" => Ok(LevelFilter::ERROR),
        other => {
            let invalid = node.invalid(format!("unknown log level `{other}`"));
            Err(invalid.help("one of debug, info, warn, error"))
        }
    }
}

fn log_format(node: &Node) -> Result<LogFormat, Invalid> {
    match node.text()? {
        "" | "logfmt" => Ok(LogFormat::Logfmt),
        "json" => Ok(LogFormat::Json),
        other => Err(node.invalid(format!("unknown log format `{other}`")).help("logfmt or json")),
    }
}
