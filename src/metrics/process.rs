//! The process as the system sees it, under the names that all Prometheus clients use.
//! In: `/proc/self`.  Out: `process_*`.  Owns: their series.

use std::fs;
use std::sync::Arc;

use crate::metrics::registry::{Family, Series};

/// What the kernel counts times in towards programs, on every architecture there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Read anew for each page.
#[derive(Clone, Debug)]
pub(super) struct Process {
    cpu: Arc<Series>,
    resident: Arc<Series>,
    virtual_size: Arc<Series>,
    open: Arc<Series>,
    most: Arc<Series>,
    threads: Arc<Series>,
    started: Arc<Series>,
}

/// What `/proc` says.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    cpu_ticks: f64,
    started_ticks: f64,
    threads: f64,
    resident_kib: f64,
    virtual_kib: f64,
}

impl Process {
    pub(super) fn register(
        counter: impl Fn(&str, &str) -> Arc<Family>,
        gauge: impl Fn(&str, &str) -> Arc<Family>,
    ) -> Process {
        Process {
            cpu: counter("process_cpu_seconds_total", "Time on processors").single(),
            resident: gauge("process_resident_memory_bytes", "Memory in use").single(),
            virtual_size: gauge("process_virtual_memory_bytes", "Addresses in use").single(),
            open: gauge("process_open_fds", "File descriptors in use").single(),
            most: gauge("process_max_fds", "File descriptors it may use").single(),
            threads: gauge("process_threads", "Threads").single(),
            started: gauge("process_start_time_seconds", "When it started, since 1970").single(),
        }
    }

    /// Brings all of it up to date, as far as it can be read.
    pub(super) fn look(&self) {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let Some(reading) = read(&text("/proc/self/stat"), &text("/proc/self/status")) else { return };
        self.cpu.set(reading.cpu_ticks / TICKS_PER_SECOND);
        self.resident.set(reading.resident_kib * 1024.0);
        self.virtual_size.set(reading.virtual_kib * 1024.0);
        self.threads.set(reading.threads);
        if let Some(booted) = number_after(&text("/proc/stat"), "btime ") {
            self.started.set(booted + reading.started_ticks / TICKS_PER_SECOND);
        }
        if let Some(limit) = number_after(&text("/proc/self/limits"), "Max open files") {
            self.most.set(limit);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // The directory itself is one of them while it is read.
            self.open.set((open.count().saturating_sub(1)) as f64);
        }
    }
}

fn read(stat: &str, status: &str) -> Option<Reading> {
    // The name stands in brackets, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number)?.parse::<f64>().ok();
    Some(Reading {
        cpu_ticks: field(11)? + field(12)?,
        threads: field(17)?,
        started_ticks: field(19)?,
        resident_kib: number_after(status, "VmRSS:")?,
        virtual_kib: number_after(status, "VmSize:")?,
    })
}

/// The first number behind a word at the beginning of a line.
fn number_after(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::registry::{Kind, Registry};

    #[test]
    fn what_proc_says_is_read_whatever_the_program_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 9 0 12345 1000 200 1844";
        let status = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let expected = Reading {
            cpu_ticks: 200.0,
            started_ticks: 12345.0,
            threads: 9.0,
            resident_kib: 1024.0,
            virtual_kib: 2048.0,
        };
        assert_eq!(read(stat, status), Some(expected));
        assert_eq!(read("", ""), None);
    }

    #[test]
    fn this_very_process_has_memory_and_descriptors() {
        let registry = Registry::default();
        let family = |kind: Kind| {
            let registry = &registry;
            move |name: &str, help: &str| registry.family(name, help, kind.clone(), None).unwrap()
        };
        let process = Process::register(family(Kind::Counter), family(Kind::Gauge));
        process.look();
        for series in
            [&process.resident, &process.virtual_size, &process.open, &process.most, &process.threads]
        {
            assert!(series.value() > 0.0);
        }
        assert!(process.started.value() > 1_700_000_000.0);
    }
}
