//! Journals made by systemd's own tools, compared with what `journalctl` says of them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Command, Stdio};

use super::*;

const REMOTE: &str = "/usr/lib/systemd/systemd-journal-remote";

/// An entry as `journalctl -o export` shows it: fields by name, the last value of each.
type Fields = BTreeMap<String, Vec<u8>>;

fn export(mut bytes: &[u8]) -> Vec<Fields> {
    let mut entries = Vec::new();
    let mut fields = Fields::new();
    while let Some(end) = memchr::memchr(b'\n', bytes) {
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        bytes = rest;
        if line.is_empty() {
            entries.push(std::mem::take(&mut fields));
        } else if let Some(equals) = memchr::memchr(b'=', line) {
            let name = String::from_utf8(line[..equals].to_vec()).unwrap();
            fields.insert(name, line[equals + 1..].to_vec());
        } else {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            fields.insert(String::from_utf8(line.to_vec()).unwrap(), bytes[8..8 + length].to_vec());
            bytes = &bytes[8 + length + 1..];
        }
    }
    entries
}

/// Compares all that a reader gives with what is expected, field by field.
fn assert_says(reader: &mut Reader, expected: &[Fields]) {
    let mut expected = expected.iter();
    loop {
        let batch = reader.read();
        if batch.last.is_none() {
            break;
        }
        for entry in batch.iter() {
            let expected = expected.next().expect("no more entries");
            let time: i64 = std::str::from_utf8(&expected["__REALTIME_TIMESTAMP"]).unwrap().parse().unwrap();
            assert_eq!(entry.time().0, time * 1000);
            let labels: BTreeMap<&str, &str> = entry.labels().collect();
            let fields = expected.iter().filter(|(name, _)| !name.starts_with("__"));
            assert_eq!(labels.len(), fields.clone().count() + 1, "and the priority's word");
            for (name, value) in fields {
                let label = labels[format!("__journal_{}", name.to_lowercase()).as_str()];
                let value = String::from_utf8_lossy(value);
                assert!(label == value || label.len() > LONGEST_LINE && value.starts_with(label), "{name}");
            }
            let line = entry.line().map(|line| line.strip_suffix(crate::source::CUT_MARK).unwrap_or(line));
            let message =
                expected.get("MESSAGE").map(|message| &message[..message.len().min(line.unwrap().len())]);
            assert_eq!(line, message);
        }
    }
    assert!(expected.next().is_none(), "entries are missing");
}

fn unpacked(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal").join(name);
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn files_that_systemd_has_written_are_read() {
    let expected = export(&unpacked("entries.export.gz"));
    assert_eq!(expected.len(), 120);
    for name in ["compact", "regular"] {
        let host = Host::new();
        fs::write(host.path("a.journal"), unpacked(&format!("{name}.journal.gz"))).unwrap();
        assert_says(&mut host.reader(ALL), &expected);
        assert_eq!(host.errors(), 0.0);
    }
}

/// Writes entries to a file with systemd's own tool.
fn write(path: &Path, entries: &str, compact: bool) {
    let mut remote = Command::new(REMOTE)
        .args(["--split-mode=none", "--output", path.to_str().unwrap(), "-"])
        .env("SYSTEMD_JOURNAL_COMPACT", if compact { "1" } else { "0" })
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut remote.stdin.take().unwrap(), entries.as_bytes()).unwrap();
    assert!(remote.wait().unwrap().success());
}

fn text(boot: u128, numbers: std::ops::Range<u64>, step: usize, file: usize) -> String {
    let entry = |number: u64| {
        let long = "word ".repeat(number as usize % 7 * 100);
        format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={boot:032x}\nPRIORITY={}\n\
             _SYSTEMD_UNIT=u{}.service\nMESSAGE={file} {number} {long}\n\n",
            1_700_000_000_000_000 + boot as u64 * 1_000_000_000 + number,
            number,
            number % 8,
            number % 5,
        )
    };
    numbers.step_by(step).map(entry).collect()
}

#[test]
fn a_directory_is_read_in_the_order_of_journalctl() {
    if !Path::new(REMOTE).exists() {
        eprintln!("SKIPPED: {REMOTE} is not there (package systemd-journal-remote): order is not compared");
        return;
    }
    let host = Host::new();
    // Files that overlap, of the same boots and of others, each with numbers of its own.
    for (file, (boots, numbers, step)) in
        [(1..3, 1..500, 3), (1..2, 200..900, 2), (2..4, 1..700, 5), (5..6, 1..50, 1)].into_iter().enumerate()
    {
        let entries: String = boots.map(|boot: u128| text(boot, numbers.clone(), step, file)).collect();
        let machine = if file == 3 { "0123456789abcdef0123456789abcdef/" } else { "" };
        fs::create_dir_all(host.path(machine)).unwrap();
        write(&host.path(&format!("{machine}f{file}.journal")), &entries, file % 2 == 0);
    }
    let shown = Command::new("journalctl")
        .args(["-q", "-o", "export", "-D", host.directory.path().to_str().unwrap()])
        .output()
        .unwrap();
    let expected = export(&shown.stdout);
    assert!(expected.len() > 1000, "{}", String::from_utf8_lossy(&shown.stderr));
    assert_says(&mut host.reader(ALL), &expected);
    // From any entry on, as `--after-cursor` does.
    for number in (0..expected.len()).step_by(97) {
        let cursor = std::str::from_utf8(&expected[number]["__CURSOR"]).unwrap();
        let start = Start::After(cursor.parse().unwrap());
        assert_says(&mut host.reader(start), &expected[number + 1..]);
    }
    assert_eq!(host.errors(), 0.0);
}

#[test]
fn what_a_tool_of_systemd_writes_is_read_while_it_writes() {
    if !Path::new(REMOTE).exists() {
        eprintln!(
            "SKIPPED: {REMOTE} is not there (package systemd-journal-remote): following is not compared"
        );
        return;
    }
    let host = Host::new();
    let path = host.path("live.journal");
    let mut remote = Command::new(REMOTE)
        .args(["--split-mode=none", "--output", path.to_str().unwrap(), "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = remote.stdin.take().unwrap();
    let mut reader = host.reader(ALL);
    let mut read = Vec::new();
    for round in 0..50 {
        let entries = text(1, round * 100..(round + 1) * 100, 1, 0);
        std::io::Write::write_all(&mut input, entries.as_bytes()).unwrap();
        // Whatever is there by now.
        read.extend(messages(&mut reader));
    }
    drop(input);
    assert!(remote.wait().unwrap().success());
    read.extend(messages(&mut reader));
    let numbers: Vec<u64> =
        read.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..5000).collect::<Vec<u64>>());
    assert_eq!(host.errors(), 0.0);
}

/// The seeds of the fuzzer: one small file for each layout and way to compress, compressed by the reference libraries.
#[test]
fn every_layout_and_compression_gives_the_same_entries() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/journal");
    let expected: Vec<String> =
        (0..7).map(|number| format!("{number} {}", "long words again ".repeat(number * 3))).collect();
    for layout in ["regular", "compact"] {
        for compression in ["", ".lz4", ".zstd", ".xz"] {
            let host = Host::new();
            fs::copy(seeds.join(format!("{layout}{compression}")), host.path("a.journal")).unwrap();
            assert_eq!(host.messages(ALL), expected, "{layout}{compression}");
            assert_eq!(host.errors(), 0.0);
        }
    }
}
