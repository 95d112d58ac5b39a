//! One syslog message, whatever its header looked like.
//! In: what a parser found.  Out: names of severity and facility, structured data.  Owns: nothing.

use crate::record::UnixNanos;

/// What a message says. Parts that it leaves out, or gives as `-`, are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Facility and severity in one number, at most [`MOST_PRIORITY`].
    pub(super) priority: Option<u8>,
    pub(super) timestamp: Option<UnixNanos>,
    pub(super) hostname: Option<&'a str>,
    pub(super) app_name: Option<&'a str>,
    pub(super) proc_id: Option<&'a str>,
    pub(super) msg_id: Option<&'a str>,
    /// The elements as they were sent, checked: see [`parameters`](super::rfc5424::parameters).
    pub(super) structured_data: &'a [u8],
    /// Its header is that of RFC 5424.
    pub(super) is_rfc5424: bool,
    /// What is left after the header, as it was sent.
    pub(super) text: &'a [u8],
}

/// 24 facilities of 8 severities.
pub(super) const MOST_PRIORITY: u8 = 191;

const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "security", "console", "cron2", "local0", "local1", "local2", "local3", "local4", "local5",
    "local6", "local7",
];

/// The name of a severity from 0 to 7, as GELF has them too.
pub(crate) fn severity(number: u8) -> Option<&'static str> {
    SEVERITIES.get(usize::from(number)).copied()
}

impl Message<'_> {
    pub(super) fn severity(&self) -> Option<&'static str> {
        severity(self.priority? % 8)
    }

    pub(super) fn facility(&self) -> Option<&'static str> {
        FACILITIES.get(usize::from(self.priority? / 8)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_a_facility_and_a_severity() {
        let names = |priority| {
            let message = Message { priority, ..Message::default() };
            (message.facility(), message.severity())
        };
        assert_eq!(names(Some(165)), (Some("local4"), Some("notice")));
        assert_eq!(names(Some(0)), (Some("kern"), Some("emergency")));
        assert_eq!(names(Some(120)), (Some("cron2"), Some("emergency")));
        assert_eq!(names(Some(MOST_PRIORITY)), (Some("local7"), Some("debug")));
        assert_eq!(names(None), (None, None));
    }
}
