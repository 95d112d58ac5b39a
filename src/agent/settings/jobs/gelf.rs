//! The `gelf` block.
//! In: the block.  Out: the settings of a GELF listener.  Owns: its table.

use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::agent::settings::jobs::syslog::{address, labels_or_job};
use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::relabel::Rule;
use crate::source::gelf::{KIND, Settings, split};
use crate::source::listen::Port;
use crate::source::reception::{Reception, Transport};

pub(super) static GELF: Table = Table(&[
    row("listen_address", Kind::Text, ":12201", "`host:port`, or `:port` for every address"),
    row(
        "use_incoming_timestamp",
        Kind::Boolean,
        "false",
        "Lines keep their time; otherwise they get that of their arrival",
    ),
    row(
        "labels",
        Kind::Labels,
        "",
        "Set on every line; without any, and without `relabel_configs`, `job` is",
    ),
]);

const DEFAULT_PORT: u16 = 12_201;

pub(super) fn decode(node: &Node, job: &str, rules: &[Rule]) -> Result<Settings, Invalid> {
    let block = node.block(&GELF)?;
    let address = block.optional("listen_address", address)?;
    let everywhere = (Ipv6Addr::UNSPECIFIED, DEFAULT_PORT).into();
    let transport =
        Transport::Udp { port: Port::new(address.unwrap_or(everywhere)), longest: usize::MAX, split };
    Ok(Settings {
        reception: Arc::new(Reception::new(KIND, transport, false)),
        labels: labels_or_job(&block, job, rules)?,
        keep_time: block.optional("use_incoming_timestamp", Node::boolean)?.unwrap_or(false),
    })
}
