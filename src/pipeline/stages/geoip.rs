//! `geoip`: says where an address is, or whose.
//! In: an extracted address.  Out: labels.  Owns: which labels; the database, shared with other stages that read it.

mod database;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::metrics::Series;
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::geoip::database::{Asn, City, Database, LookupError};
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "geoip",
    about: "Says in labels where an address is, or whose, by a database of MaxMind's format",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("db", Kind::Text, "", "Required: the database, a file `.mmdb` that is read at start"),
    row("source", Kind::Text, "", "Extracted value with the address; without it nothing is looked up"),
    row(
        "db_type",
        Kind::Text,
        "",
        "Required: `city` for labels that say where, `asn` for the autonomous system",
    ),
]);

#[derive(Debug)]
struct GeoIp {
    database: Arc<Database>,
    source: Option<Symbol>,
    labels: Labels,
    /// Counts values that are no address.
    no_address: Arc<Series>,
    /// Counts records that cannot be read.
    damaged: Arc<Series>,
}

/// What is looked up, and the labels for it.
#[derive(Debug)]
enum Labels {
    City(CityLabels),
    Asn { number: Symbol, organization: Symbol },
}

#[derive(Debug)]
struct CityLabels {
    city_name: Symbol,
    country_name: Symbol,
    continent_name: Symbol,
    continent_code: Symbol,
    latitude: Symbol,
    longitude: Symbol,
    postal_code: Symbol,
    timezone: Symbol,
    subdivision_name: Symbol,
    subdivision_code: Symbol,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let db = block.required("db")?;
    let file = match db.strict_text()? {
        "" => return Err(db.invalid("`db` is empty")),
        file => file,
    };
    let source = block.optional("source", |node| match node.strict_text()? {
        "" => Err(node.invalid("`source` is empty")),
        name => Ok(compiler.symbol(name)),
    })?;
    let db_type = block.required("db_type")?;
    let labels = match db_type.strict_text()? {
        "city" => Labels::City(CityLabels::new(compiler)),
        "asn" => Labels::Asn {
            number: compiler.symbol("geoip_autonomous_system_number"),
            organization: compiler.symbol("geoip_autonomous_system_organization"),
        },
        other => {
            let invalid = db_type.invalid(format!("unknown type of database `{other}`"));
            return Err(invalid.help("city or asn"));
        }
    };
    let database = Database::open(file).map_err(|error| db.invalid(error.to_string()))?;
    let failed = &compiler.own().geoip_lookups_failed;
    let (no_address, damaged) = (failed.with("reason", "address"), failed.with("reason", "database"));
    compiler.add(GeoIp { database, source, labels, no_address, damaged });
    Ok(())
}

impl CityLabels {
    fn new(compiler: &mut Compiler<'_>) -> CityLabels {
        CityLabels {
            city_name: compiler.symbol("geoip_city_name"),
            country_name: compiler.symbol("geoip_country_name"),
            continent_name: compiler.symbol("geoip_continent_name"),
            continent_code: compiler.symbol("geoip_continent_code"),
            latitude: compiler.symbol("geoip_location_latitude"),
            longitude: compiler.symbol("geoip_location_longitude"),
            postal_code: compiler.symbol("geoip_postal_code"),
            timezone: compiler.symbol("geoip_timezone"),
            subdivision_name: compiler.symbol("geoip_subdivision_name"),
            subdivision_code: compiler.symbol("geoip_subdivision_code"),
        }
    }

    fn set(&self, city: &City<'_>, entry: &mut Entry) {
        // The last one is the most specific.
        let subdivision = city.subdivisions.last();
        let texts = [
            (self.city_name, city.city.names.en),
            (self.country_name, city.country.names.en),
            (self.continent_name, city.continent.names.en),
            (self.continent_code, city.continent.code),
            (self.postal_code, city.postal.code),
            (self.timezone, city.location.time_zone),
            (self.subdivision_name, subdivision.map_or("", |part| part.names.en)),
            (self.subdivision_code, subdivision.map_or("", |part| part.iso_code)),
        ];
        for (label, text) in texts {
            set(label, text, entry);
        }
        let (latitude, longitude) = (city.location.latitude, city.location.longitude);
        // A place without coordinates reads as zero and zero, which is in the sea.
        if latitude != 0.0 || longitude != 0.0 {
            set(self.latitude, &latitude.to_string(), entry);
            set(self.longitude, &longitude.to_string(), entry);
        }
    }
}

/// Sets a label; what is empty says nothing.
fn set(label: Symbol, text: &str, entry: &mut Entry) {
    if !text.is_empty() {
        let span = entry.store(text.as_bytes());
        entry.set_label(label, Some(span));
    }
}

impl GeoIp {
    /// True when the database knows the address.
    fn look_up(&self, address: IpAddr, entry: &mut Entry) -> Result<bool, LookupError> {
        match &self.labels {
            Labels::City(labels) => {
                let city: Option<City<'_>> = self.database.record(address)?;
                Ok(city.map(|city| labels.set(&city, entry)).is_some())
            }
            Labels::Asn { number, organization } => {
                let Some(asn) = self.database.record::<Asn<'_>>(address)? else { return Ok(false) };
                if asn.autonomous_system_number != 0.0 {
                    set(*number, &asn.autonomous_system_number.to_string(), entry);
                }
                set(*organization, asn.autonomous_system_organization, entry);
                Ok(true)
            }
        }
    }
}

impl Stage for GeoIp {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let Some(source) = self.source else {
            context.fail("no `source` says where the address is");
            return Flow::Continue;
        };
        let Some(span) = entry.text(source) else { return Flow::Continue };
        let text = entry.bytes(span);
        let Some(address) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok())
        else {
            self.no_address.add(1.0);
            context.fail_with("no IP address", || {
                format!("`{}` is no IP address", String::from_utf8_lossy(text))
            });
            return Flow::Continue;
        };
        match self.look_up(address, entry) {
            Ok(true) => {}
            Ok(false) => {
                context.fail_with("not in the database", || format!("{address} is not in the database"))
            }
            Err(error) => {
                self.damaged.add(1.0);
                context.fail_with("the record in the database cannot be read", || {
                    format!("the record of {address} cannot be read: {error}")
                });
            }
        }
        Flow::Continue
    }
}
