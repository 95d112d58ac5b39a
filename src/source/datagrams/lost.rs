//! What the kernel received for a socket and had no room for.
//! In: `/proc/net/udp` and `udp6`.  Out: a count.  Owns: what was counted so far.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use crate::metrics::Series;

/// Of one socket.
pub(super) struct Lost {
    /// `None` where the system does not say.
    inode: Option<String>,
    table: &'static str,
    seen: u64,
    counted: Arc<Series>,
}

impl Lost {
    pub(super) fn of(socket: &UdpSocket, counted: Arc<Series>) -> Lost {
        let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()));
        let inode = link.ok().and_then(|link| {
            let name = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(name.to_owned())
        });
        let is_v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
        let table = if is_v6 { "/proc/self/net/udp6" } else { "/proc/self/net/udp" };
        Lost { inode, table, seen: 0, counted }
    }

    /// Counts what was lost since the last look.
    pub(super) fn look(&mut self) {
        let Some(inode) = &self.inode else { return };
        let Ok(table) = fs::read_to_string(self.table) else { return };
        if let Some(drops) = drops(&table, inode) {
            self.counted.add(drops.saturating_sub(self.seen) as f64);
            self.seen = self.seen.max(drops);
        }
    }

    pub(super) fn sum(&self) -> u64 {
        self.seen
    }
}

/// The last field of the line whose tenth is the inode.
fn drops(table: &str, inode: &str) -> Option<u64> {
    let mut lines = table.lines().map(str::split_ascii_whitespace);
    let mut line = lines.find(|fields| fields.clone().nth(9) == Some(inode))?;
    line.next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_line_says_what_was_lost() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            12: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 20112 2 0000000000000000 7\n\
            13: 00000000:0202 00000000:0000 07 00000000:00034000 00:00000000 00000000     0        0 2011 2 0000000000000000 123\n";
        assert_eq!(drops(table, "2011"), Some(123));
        assert_eq!(drops(table, "20112"), Some(7));
        assert_eq!(drops(table, "1"), None);
        assert_eq!(drops("", "1"), None);
    }
}
