//! Makes lines of messages.
//! In: messages as they arrived.  Out: lines with labels and times.  Owns: what is known of senders.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::{debug, warn};

use crate::clock;
use crate::metrics::Own;
use crate::record::Labels;
use crate::source::arrivals::{Arrival, Decode, Lines};
use crate::source::names::Names;
use crate::source::syslog::message::Message;
use crate::source::syslog::rfc3164::{self, Here};
use crate::source::syslog::{Format, KIND, Settings, rfc5424};

/// The label for whose sake DNS is asked.
pub(crate) const HOSTNAME: &str = "__syslog_connection_hostname";

/// So much of a message that is none is shown.
const SHOWN: usize = 128;

/// Makes lines of the messages of one listener.
pub(super) struct Decoder {
    format: Format,
    labels: Labels,
    label_structured_data: bool,
    keep_time: bool,
    keep_header: bool,
    names: Arc<Names>,
    zone: TimeZone,
    /// The sender of the message before, and how it is written.
    sender: (Option<IpAddr>, String),
    own: Arc<Own>,
}

impl Decoder {
    pub(super) fn new(settings: &Settings, names: Arc<Names>, own: &Arc<Own>) -> Decoder {
        Decoder {
            format: settings.format,
            labels: settings.labels.clone(),
            label_structured_data: settings.label_structured_data,
            keep_time: settings.keep_time,
            keep_header: settings.keep_header,
            names,
            zone: TimeZone::system(),
            sender: (None, String::new()),
            own: own.clone(),
        }
    }

    fn drop(&self, reason: &str) {
        self.own.network.messages_dropped(KIND, reason).add(1.0);
    }

    fn parse<'a>(&mut self, arrival: &Arrival<'a>) -> Option<Message<'a>> {
        if self.format == Format::Rfc3164 {
            let now = Timestamp::from_nanosecond(i128::from(clock::now().0)).unwrap_or_default();
            return Some(rfc3164::parse(arrival.bytes, &Here { now, zone: self.zone.clone() }));
        }
        let malformed = match rfc5424::parse(arrival.bytes) {
            Ok(message) => return Some(message),
            Err(malformed) => malformed,
        };
        self.drop("malformed");
        // What it says is nobody's business who reads this log, but for whoever asked for all of it.
        let shown = &arrival.bytes[..arrival.bytes.len().min(SHOWN)];
        debug!(source = KIND, sender = %arrival.sender, text = %shown.escape_ascii(), "malformed message");
        warn!(source = KIND, sender = %arrival.sender, error = %malformed,
            "not a message of RFC 5424, dropped; `syslog_format: rfc3164` takes any");
        None
    }
}

impl Decode for Decoder {
    fn decode(&mut self, arrival: Arrival<'_>, lines: &mut Lines) {
        if arrival.is_cut {
            self.own.lines_truncated.add(1.0);
        }
        let Some(message) = self.parse(&arrival) else { return };
        if message.text.is_empty() {
            return self.drop("empty");
        }
        if self.sender.0 != Some(arrival.sender) {
            self.sender = (Some(arrival.sender), arrival.sender.to_string());
        }
        let hostname = self.names.get(arrival.sender);
        let mut data = Vec::new();
        if self.label_structured_data {
            rfc5424::parameters(message.structured_data, |id, name, value| {
                let name = format!("__syslog_message_sd_{}_{name}", id.replace('@', "_"));
                data.push((name, String::from_utf8_lossy(&value).into_owned()));
            });
        }
        let given = [
            ("__syslog_connection_ip_address", Some(self.sender.1.as_str())),
            (HOSTNAME, hostname.as_deref()),
            ("__syslog_message_severity", message.severity()),
            ("__syslog_message_facility", message.facility()),
            ("__syslog_message_hostname", message.hostname),
            ("__syslog_message_app_name", message.app_name),
            ("__syslog_message_proc_id", message.proc_id),
            ("__syslog_message_msg_id", message.msg_id),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let data = data.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = self.labels.iter().chain(given).chain(data);
        let line = if self.keep_header && message.is_rfc5424 { arrival.bytes } else { message.text };
        lines.push(line, message.timestamp.filter(|_| self.keep_time), labels);
    }
}
