//! The `loki_push_api` block.
//! In: the block.  Out: the settings of the push API.  Owns: its table.

use std::sync::Arc;

use crate::agent::settings::{labels, server};
use crate::config::{Invalid, Kind, Node, Table, row};
use crate::http::Limits;
use crate::source::listen::Port;
use crate::source::push::Settings;

pub(super) static PUSH: Table = Table(&[
    row(
        "server",
        Kind::Block(&server::SERVER),
        "",
        "Where to listen: `http_listen_address`, `http_listen_port` (without one the system chooses a port, and it is \
         logged), `http_path_prefix`, `http_tls_config`, `http_listen_conn_limit` (1000) and the timeouts but that of \
         writing; other keys are of no consequence here",
    ),
    row("labels", Kind::Labels, "", "Set on every line, over what it was pushed with"),
    row(
        "use_incoming_timestamp",
        Kind::Boolean,
        "false",
        "Lines keep their time; otherwise they get that of their arrival",
    ),
    row("max_send_msg_size", Kind::Bytes, "104857600", "Bytes of the largest message, compressed or not"),
]);

const LARGEST: usize = 100 << 20;

/// Connections at a time, unless configured.
const MOST_CONNECTIONS: usize = 1000;

/// Bodies are read in pieces of this size, too.
const LONGEST_HEAD: usize = 64 * 1024;

pub(super) fn decode(node: &Node) -> Result<Settings, Invalid> {
    let block = node.block(&PUSH)?;
    let server = block.block("server")?;
    let most = server::connection_limit(&server)?;
    let has_port = server.get("http_listen_port").is_some();
    let Some(http) = server::decode(&server)?.http else {
        return Err(block.required("server")?.invalid("a push API without a server takes nothing"));
    };
    let mut listen = http.listen;
    if !has_port {
        listen.set_port(0);
    }
    let largest = block.optional("max_send_msg_size", Node::bytes)?;
    Ok(Settings {
        port: Arc::new(Port::new(listen)),
        prefix: http.prefix,
        tls: http.tls,
        // How long an answer takes is for Loki to say.
        limits: Limits {
            answer: None,
            most: most.unwrap_or(MOST_CONNECTIONS),
            longest_head: LONGEST_HEAD,
            ..http.limits
        },
        labels: block.optional("labels", labels)?.unwrap_or_default(),
        keep_time: block.optional("use_incoming_timestamp", Node::boolean)?.unwrap_or(false),
        largest: largest.map_or(LARGEST, |bytes| usize::try_from(bytes).unwrap_or(LARGEST)),
    })
}
