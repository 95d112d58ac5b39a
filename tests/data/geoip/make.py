"""Makes city.mmdb and asn.mmdb beside this file. Needs mmdb_writer 0.2.7 from PyPI; same result on every run."""

import time
from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

HERE = Path(__file__).parent

# The writer puts the time of the build into the file.
time.time = lambda: 1_780_000_000


def write(name, kind, networks):
    writer = MMDBWriter(
        ip_version=6,
        ipv4_compatible=True,
        database_type=kind,
        languages=["en", "de"],
        description="Invented places for tests",
        int_type="auto",
    )
    for network, record in networks:
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(HERE / name))


def named(name):
    return {"names": {"de": f"{name} (de)", "en": name}}


FULL = {
    "city": named("Hafenstadt"),
    "continent": {"code": "EU", **named("Europe")},
    "country": {"iso_code": "XA", **named("Westland")},
    "location": {
        "accuracy_radius": 10,
        "latitude": 53.5511,
        "longitude": -9.99,
        "time_zone": "Europe/Hafenstadt",
    },
    "postal": {"code": "20095"},
    "registered_country": {"iso_code": "XA", **named("Westland")},
    "subdivisions": [
        {"iso_code": "NO", **named("North")},
        {"iso_code": "NOC", **named("North Coast")},
    ],
}

CITY = [
    ("192.0.2.0/25", FULL),
    # No name in English, an empty one, an empty list: nothing to say but the code.
    (
        "192.0.2.128/25",
        {
            "city": {"names": {"de": "Nur deutsch"}},
            "continent": {"code": "AS", "names": {"en": ""}},
            "location": {"time_zone": ""},
            "subdivisions": [],
        },
    ),
    # On the equator: one coordinate is zero, the other is not.
    ("198.51.100.0/24", {"location": {"latitude": 0.0, "longitude": 0.000012}}),
    # Nowhere: zero and zero is what says so.
    ("198.51.101.0/24", {"city": named("Nowhere"), "location": {"latitude": 0.0, "longitude": 0.0}}),
    # A record that is no record.
    ("203.0.113.0/24", {"city": "a text where a map should be"}),
    ("2001:db8:1::/48", {"country": {"iso_code": "XB", **named("Eastland")}}),
]

ASN = [
    (
        "192.0.2.0/24",
        {"autonomous_system_number": 4200000001, "autonomous_system_organization": "Example Networks"},
    ),
    ("198.51.100.0/24", {"autonomous_system_number": 64500, "autonomous_system_organization": ""}),
    (
        "2001:db8:1::/48",
        {"autonomous_system_number": 0, "autonomous_system_organization": "Six Networks"},
    ),
]

write("city.mmdb", "Test-City", CITY)
write("asn.mmdb", "Test-ASN", ASN)
