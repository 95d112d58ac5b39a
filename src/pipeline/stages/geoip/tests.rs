//! Labels made of the small databases in `tests/data/geoip`.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Invalid, parse_yaml};
use crate::metrics::{Changes, Own, Registry};
use crate::pipeline::compile::Pipeline;
use crate::pipeline::entry::{Base, Entry};
use crate::pipeline::lane::{Context, LabelSets, Tools};
use crate::pipeline::limits::Limits;
use crate::pipeline::stages::Flow;
use crate::pipeline::stages::geoip::database::{Asn, City, Database};
use crate::record::{Labels, UnixNanos};

const CITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/geoip/city.mmdb");
const ASN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/geoip/asn.mmdb");

/// What a line came to.
#[derive(Debug, PartialEq)]
struct Seen {
    labels: String,
    failures: Vec<String>,
    /// Counted lookups that failed: for the address, for the database.
    counted: (f64, f64),
}

fn compile(stages: &str, own: &Own, registry: &Registry) -> Result<Pipeline, Invalid> {
    parse_yaml(stages).and_then(|node| Pipeline::compile(Some(&node), &Limits::default(), registry, own))
}

fn refusal(stages: &str) -> String {
    let registry = Registry::default();
    let own = Own::register(&registry);
    compile(stages, &own, &registry).unwrap_err().render("f", stages)
}

/// Takes a line with this address through the stage, and through the one that extracts it.
fn seen_with(geoip: &str, address: &str) -> Seen {
    let registry = Registry::default();
    let own = Own::register(&registry);
    let stages = format!("- regex: {{expression: '^ip=(?P<ip>.*)$'}}\n- geoip: {geoip}");
    let pipeline = compile(&stages, &own, &registry).unwrap();
    let (mut entry, base) = (Entry::default(), Base::new(&vec![None; pipeline.names.len()]));
    entry.load(&base);
    entry.begin(&base, format!("ip={address}").as_bytes(), UnixNanos(0));
    let (moment, mut pause) = (crate::clock::moment(), Duration::ZERO);
    let mut context = Context {
        pipeline: &pipeline,
        fixed: &Labels::default(),
        sets: &mut LabelSets::default(),
        memories: &mut [],
        tools: &mut Tools::default(),
        now: moment.wall,
        instant: moment.instant,
        carried: &[],
        released: Vec::new(),
        pause: &mut pause,
        changes: &mut Changes::default(),
        failure: None,
        failures: Some(Vec::new()),
    };
    for step in &pipeline.steps {
        assert!(matches!(step.stage.apply(&mut entry, &mut context), Flow::Continue));
    }
    let counted = |reason: &str| own.geoip_lookups_failed.with("reason", reason).value();
    Seen {
        labels: context.labels(&entry).render(),
        failures: context.failures.unwrap(),
        counted: (counted("address"), counted("database")),
    }
}

fn city(address: &str) -> Seen {
    seen_with(&format!("{{db: '{CITY}', source: ip, db_type: city}}"), address)
}

fn asn(address: &str) -> Seen {
    seen_with(&format!("{{db: '{ASN}', source: ip, db_type: asn}}"), address)
}

fn unchanged(seen: &Seen, failure: &str, counted: (f64, f64)) {
    assert_eq!((seen.labels.as_str(), seen.counted), ("{}", counted));
    assert!(seen.failures.len() == 1 && seen.failures[0].contains(failure), "{:?}", seen.failures);
}

#[test]
fn a_city_is_said_in_ten_labels_by_its_most_specific_part() {
    let labels = "{geoip_city_name=\"Hafenstadt\", geoip_continent_code=\"EU\", geoip_continent_name=\"Europe\", \
                  geoip_country_name=\"Westland\", geoip_location_latitude=\"53.5511\", \
                  geoip_location_longitude=\"-9.99\", geoip_postal_code=\"20095\", \
                  geoip_subdivision_code=\"NOC\", geoip_subdivision_name=\"North Coast\", \
                  geoip_timezone=\"Europe/Hafenstadt\"}";
    let seen = city("192.0.2.7");
    assert_eq!((seen.labels.as_str(), seen.counted), (labels, (0.0, 0.0)));
    assert_eq!(seen.failures, [""; 0]);
    assert_eq!(city("::ffff:192.0.2.7").labels, labels);
}

#[test]
fn what_the_database_leaves_empty_makes_no_label() {
    assert_eq!(city("192.0.2.200").labels, "{geoip_continent_code=\"AS\"}");
    assert_eq!(city("2001:db8:1::9").labels, "{geoip_country_name=\"Eastland\"}");
    assert_eq!(city("198.51.101.1").labels, "{geoip_city_name=\"Nowhere\"}");
}

#[test]
fn a_place_on_the_equator_has_both_coordinates_and_no_exponent() {
    assert_eq!(
        city("198.51.100.1").labels,
        "{geoip_location_latitude=\"0\", geoip_location_longitude=\"0.000012\"}"
    );
}

#[test]
fn an_autonomous_system_is_said_in_two_labels() {
    assert_eq!(
        asn("192.0.2.200").labels,
        "{geoip_autonomous_system_number=\"4200000001\", \
         geoip_autonomous_system_organization=\"Example Networks\"}"
    );
    assert_eq!(asn("198.51.100.1").labels, "{geoip_autonomous_system_number=\"64500\"}");
    assert_eq!(asn("2001:db8:1::").labels, "{geoip_autonomous_system_organization=\"Six Networks\"}");
}

#[test]
fn an_address_that_the_database_does_not_know_is_no_failure() {
    unchanged(&city("10.0.0.1"), "10.0.0.1 is not in the database", (0.0, 0.0));
    unchanged(&asn("2001:db8:2::"), "is not in the database", (0.0, 0.0));
}

#[test]
fn what_is_no_address_is_counted_and_changes_nothing() {
    for text in ["", "localhost", "192.0.2.256", " 192.0.2.7", "192.0.2.7:80", "fe80::1%eth0"] {
        unchanged(&city(text), &format!("`{text}` is no IP address"), (1.0, 0.0));
    }
}

#[test]
fn a_record_that_cannot_be_read_is_counted_and_changes_nothing() {
    unchanged(&city("203.0.113.1"), "the record of 203.0.113.1 cannot be read", (0.0, 1.0));
}

#[test]
fn nothing_happens_where_there_is_no_address() {
    let seen = seen_with(&format!("{{db: '{CITY}', source: other, db_type: city}}"), "192.0.2.7");
    assert_eq!((seen.labels.as_str(), seen.counted, seen.failures.len()), ("{}", (0.0, 0.0), 0));
    let seen = seen_with(&format!("{{db: '{CITY}', db_type: city}}"), "192.0.2.7");
    unchanged(&seen, "no `source`", (0.0, 0.0));
}

#[test]
fn options_that_name_nothing_usable_are_refused_at_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let damaged = directory.path().join("damaged.mmdb");
    fs::write(&damaged, &fs::read(CITY).unwrap()[..1000]).unwrap();
    let cases = [
        ("{source: ip, db_type: city}".to_owned(), "f:1:10: `db` is required here".to_owned()),
        ("{db: '', db_type: city}".to_owned(), "f:1:15: `db` is empty".to_owned()),
        (
            format!("{{db: '{path}/none', db_type: city}}"),
            format!("f:1:15: cannot read the database {path}/none: No such file"),
        ),
        (
            format!("{{db: '{path}', db_type: city}}"),
            format!("f:1:15: the database {path} is no regular file"),
        ),
        (
            format!("{{db: '{path}/damaged.mmdb', db_type: city}}"),
            format!("f:1:15: {path}/damaged.mmdb is no usable database: "),
        ),
        (format!("{{db: '{CITY}'}}"), "f:1:10: `db_type` is required here".to_owned()),
        (
            format!("{{db_type: country, db: '{CITY}'}}"),
            "f:1:20: unknown type of database `country`".to_owned(),
        ),
        (format!("{{source: '', db_type: city, db: '{CITY}'}}"), "f:1:19: `source` is empty".to_owned()),
    ];
    for (options, message) in cases {
        let refused = refusal(&format!("- geoip: {options}"));
        assert!(refused.starts_with(&message), "{refused}\nwanted {message}");
    }
    assert!(refusal(&format!("- geoip: {{db_type: country, db: '{CITY}'}}")).ends_with("help: city or asn"));
}

#[test]
fn stages_that_name_the_same_file_share_it_until_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.mmdb");
    let name = file.to_str().unwrap();
    fs::copy(CITY, &file).unwrap();
    let first = Database::open(name).unwrap();
    assert!(Arc::ptr_eq(&first, &Database::open(name).unwrap()));
    fs::copy(ASN, &file).unwrap();
    assert!(!Arc::ptr_eq(&first, &Database::open(name).unwrap()));
}

/// Looks up all there is to look up.
fn use_up(bytes: Vec<u8>) {
    let Ok(database) = Database::parse("damaged", bytes) else { return };
    let known = ["192.0.2.7", "192.0.2.200", "198.51.100.1", "198.51.101.1", "203.0.113.1", "2001:db8:1::9"];
    let others = ["0.0.0.0", "255.255.255.255", "::", "::1", "2002:c000:207::", "ffff::"];
    for address in known.iter().chain(&others) {
        let address: IpAddr = address.parse().unwrap();
        drop(database.record::<City<'_>>(address));
        drop(database.record::<Asn<'_>>(address));
    }
}

#[test]
fn a_database_may_end_anywhere_and_nothing_panics() {
    for file in [CITY, ASN] {
        let bytes = fs::read(file).unwrap();
        for length in 0..bytes.len() {
            use_up(bytes[..length].to_vec());
            use_up(bytes[length..].to_vec());
        }
    }
}

#[test]
fn any_byte_of_a_database_may_be_another_and_nothing_panics() {
    for file in [CITY, ASN] {
        let bytes = fs::read(file).unwrap();
        for at in 0..bytes.len() {
            for mask in [0x01, 0x20, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= mask;
                use_up(bytes);
            }
        }
    }
}
