//! The `syslog` block.
//! In: the block.  Out: the settings of a syslog listener.  Owns: its tables.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::settings::labels;
use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::http::{ClientAuth, Credential, ServerTls, ServerTlsSettings};
use crate::pipeline::relabel::Rule;
use crate::record::Labels;
use crate::source::listen::{self, Port};
use crate::source::reception::{Reception, Tcp, Transport};
use crate::source::syslog::{Format, HOSTNAME, KIND, Settings, split};

pub(super) static SYSLOG: Table = Table(&[
    row("listen_address", Kind::Text, "", "Required: `host:port`, or `:port` for every address"),
    row("listen_protocol", Kind::Text, "tcp", "`tcp` or `udp`"),
    row("idle_timeout", Kind::Duration, "120s", "A connection that is silent for so long is closed"),
    row(
        "max_connections",
        Kind::Count,
        "1000",
        "At a time; further ones are closed at once, and counted. Not in Promtail",
    ),
    row(
        "syslog_format",
        Kind::Text,
        "rfc5424",
        "`rfc5424` drops and counts what is not in its format; `rfc3164` takes anything",
    ),
    row(
        "label_structured_data",
        Kind::Boolean,
        "false",
        "Labels `__syslog_message_sd_<id>_<name>`, for rules to read",
    ),
    row(
        "use_incoming_timestamp",
        Kind::Boolean,
        "false",
        "Lines keep their time; otherwise they get that of their arrival",
    ),
    row(
        "use_rfc5424_message",
        Kind::Boolean,
        "false",
        "Lines are whole messages with their header, as they were sent",
    ),
    row(
        "max_message_length",
        Kind::Count,
        "8192",
        "Bytes; longer lines and datagrams are cut, longer lengths end the connection",
    ),
    row(
        "labels",
        Kind::Labels,
        "",
        "Set on every line; without any, and without `relabel_configs`, `job` is",
    ),
    row("tls_config", Kind::Block(&TLS), "", "TLS, over `tcp`"),
]);

static TLS: Table = Table(&[
    row(
        "cert_file",
        Kind::Text,
        "",
        "Certificate and its chain in PEM; needs its key. Files that change are picked up",
    ),
    row("key_file", Kind::Text, "", "Key of the certificate in PEM"),
    row("ca_file", Kind::Text, "", "Senders must show a certificate of one of these authorities"),
]);

const IDLE: Duration = Duration::from_secs(120);
const CONNECTIONS: usize = 1000;
const LONGEST: usize = 8192;

/// What one message may take in memory at most.
const LONGEST_POSSIBLE: u64 = 16 << 20;

pub(super) fn decode(node: &Node, job: &str, rules: &[Rule]) -> Result<Settings, Invalid> {
    let block = node.block(&SYSLOG)?;
    let longest = block.optional("max_message_length", longest)?.unwrap_or(LONGEST);
    let tls = block.optional("tls_config", tls)?.flatten();
    let address = address(block.required("listen_address")?)?;
    let transport = match block.optional("listen_protocol", Node::text)?.unwrap_or_default() {
        "" | "tcp" => {
            let most = block.optional("max_connections", Node::count)?;
            let most = most.and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0);
            let tcp = Tcp {
                tls,
                idle: block
                    .optional("idle_timeout", Node::duration)?
                    .filter(|idle| !idle.is_zero())
                    .unwrap_or(IDLE),
                most: most.unwrap_or(CONNECTIONS),
                longest,
            };
            Transport::Tcp { port: Port::new(address), tcp }
        }
        "udp" => {
            if tls.is_some() {
                let invalid = block.required("tls_config")?.invalid("there is no TLS over udp");
                return Err(invalid.help("set `listen_protocol: tcp`, or leave `tls_config` out"));
            }
            Transport::Udp { port: Port::new(address), longest, split }
        }
        other => {
            let invalid = block.required("listen_protocol")?.invalid(format!("unknown protocol `{other}`"));
            return Err(invalid.help("tcp or udp"));
        }
    };
    let format = match block.optional("syslog_format", Node::text)?.unwrap_or_default() {
        "" | "rfc5424" => Format::Rfc5424,
        "rfc3164" => Format::Rfc3164,
        other => {
            let invalid = block.required("syslog_format")?.invalid(format!("unknown format `{other}`"));
            return Err(invalid.help("rfc5424 or rfc3164"));
        }
    };
    let wants_names = rules.iter().any(|rule| rule.reads_label(HOSTNAME));
    Ok(Settings {
        reception: Arc::new(Reception::new(KIND, transport, wants_names)),
        format,
        labels: labels_or_job(&block, job, rules)?,
        label_structured_data: flag(&block, "label_structured_data")?,
        keep_time: flag(&block, "use_incoming_timestamp")?,
        keep_header: flag(&block, "use_rfc5424_message")?,
    })
}

/// Where to listen.
pub(super) fn address(node: &Node) -> Result<SocketAddr, Invalid> {
    let text = node.text()?;
    listen::address(text).map_err(|error| {
        node.invalid(format!("cannot listen on `{text}`: {error}")).help("host:port, such as 0.0.0.0:1514")
    })
}

/// The `labels` of a block. Where nothing gives a line a label it has the name of its job: Loki takes none without any.
pub(super) fn labels_or_job(block: &Block<'_>, job: &str, rules: &[Rule]) -> Result<Labels, Invalid> {
    let given = block.optional("labels", labels)?.unwrap_or_default();
    let has_none = rules.is_empty() && given == Labels::default();
    Ok(if has_none { [("job", job)].into_iter().collect() } else { given })
}

fn flag(block: &Block<'_>, key: &'static str) -> Result<bool, Invalid> {
    Ok(block.optional(key, Node::boolean)?.unwrap_or(false))
}

fn longest(node: &Node) -> Result<usize, Invalid> {
    match node.count()? {
        // As in Promtail.
        0 => Ok(LONGEST),
        count @ 1..=LONGEST_POSSIBLE => Ok(count as usize),
        _ => Err(node.invalid(format!("a message of more than {LONGEST_POSSIBLE} bytes is not taken"))),
    }
}

/// `None` where no file is named.
fn tls(node: &Node) -> Result<Option<Arc<ServerTls>>, Invalid> {
    let block = node.block(&TLS)?;
    let file = |key: &'static str| {
        let path = block.optional(key, Node::text)?.filter(|path| !path.is_empty());
        Ok(path.map(|path| Credential::File(path.into())))
    };
    let (cert, key, authorities) = (file("cert_file")?, file("key_file")?, file("ca_file")?);
    let needs = |given: &'static str, missing: &str| {
        let at = block.get(given).unwrap_or(node);
        Err(at.invalid(format!("`{given}` needs `{missing}`")))
    };
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return needs("cert_file", "key_file"),
        (None, Some(_)) => return needs("key_file", "cert_file"),
        (None, None) if authorities.is_some() => return needs("ca_file", "cert_file"),
        (None, None) => return Ok(None),
    };
    let clients = authorities
        .map_or(ClientAuth::None, |authorities| ClientAuth::Verify { authorities, required: true });
    let tls = ServerTls::new(ServerTlsSettings { cert, key, clients, only_13: false });
    tls.map(|tls| Some(Arc::new(tls))).map_err(|mut error| {
        // The block of the pages calls it so.
        if error.key == "client_ca_file" {
            error.key = "ca_file";
        }
        block.get(error.key).unwrap_or(node).invalid(error.to_string())
    })
}
