//! Threads that give way to those that carry lines.
//! In: work.  Out: a thread that does it, when nobody else wants the processor more.  Owns: nothing.

use std::thread;

use rustix::process::setpriority_process;
use tracing::{debug, warn};

/// As `nice(1)` has it: what the threads that carry lines leave. Lines are safe in the log until they are sealed; where it grows to
/// its bound those threads wait, and leave all of it. In a container or a service nobody else takes part in that.
const NICENESS: i32 = 19;

/// Starts a thread. Without it the work is not done, which is said.
pub(super) fn start(name: &str, work: impl FnOnce() + Send + 'static) {
    let work = move || {
        // Linux takes this for the thread that asks.
        if let Err(error) = setpriority_process(None, NICENESS) {
            debug!(%error, "the archive competes with the lines");
        }
        work();
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
        warn!(%error, part = name, "the archive lacks a thread");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The niceness of the thread that asks.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn the_thread_alone_gives_way() {
        let before = niceness();
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        start("background", move || sender.send(niceness()).unwrap());
        assert_eq!(receiver.recv().unwrap(), NICENESS.max(before));
        assert_eq!(niceness(), before);
    }
}
