//! Which container the agent itself runs in.
//! In: `/proc/self/mountinfo`, the host name.  Out: a container id or its beginning.  Owns: nothing.

use std::fs;

const ID_LENGTH: usize = 64;
const SHORT_ID_LENGTH: usize = 12;

/// The id, if the agent runs in a container that Docker made.
pub(super) fn id() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    from_mounts(&mounts).or_else(|| from_hostname(hostname.trim()))
}

/// Docker and Podman mount `/etc/hostname` and others from a directory named by the id; Podman has `userdata` below it.
fn from_mounts(mounts: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let mut parts = line.split('/').skip_while(|part| part.len() != ID_LENGTH || !is_hex(part));
        let id = parts.next()?;
        let file = parts.find(|part| *part != "userdata")?;
        let file = file.split(' ').next().unwrap_or_default();
        (line.contains("containers/") && matches!(file, "hostname" | "resolv.conf")).then(|| id.to_owned())
    })
}

/// By default a container's host name is the beginning of its id. A host may be called like that by accident; then
/// one container of 16^12 stays unread.
fn from_hostname(hostname: &str) -> Option<String> {
    (hostname.len() == SHORT_ID_LENGTH && is_hex(hostname)).then(|| hostname.to_owned())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_container_is_found_in_mounts_or_host_name() {
        let id = "0123456789abcdef".repeat(4);
        let line =
            format!("1 2 0:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/x rw\n");
        assert_eq!(from_mounts(&line), Some(id.clone()));
        let line = format!(
            "1 2 0:1 /containers/overlay-containers/{id}/userdata/resolv.conf /etc/resolv.conf rw - tmpfs tmpfs rw\n"
        );
        assert_eq!(from_mounts(&line), Some(id));
        assert_eq!(from_mounts("1 2 0:1 / / rw - overlay overlay rw\n"), None);
        assert_eq!(from_hostname("0123456789ab"), Some("0123456789ab".to_owned()));
        assert_eq!(from_hostname("web-1"), None);
    }
}
