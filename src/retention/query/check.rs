//! Compares objects with their manifests.
//! In: a store.  Out: how many are whole, and what is wrong with the others.  Owns: nothing.

use std::collections::BTreeSet;
use std::io;

use crate::retention::archive::{Manifest, OBJECT, Object, object_of, show_time};
use crate::retention::filter::Filter;
use crate::retention::objects::Objects;
use crate::retention::query::listing::{Place, files, manifest, manifests};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) objects: u64,
    pub(crate) lines: u64,
    /// File and problem.
    pub(crate) damage: Vec<(String, String)>,
}

/// Looks at every object of the stores; `tell` is told how many it has looked at, of how many.
pub(crate) fn check(places: &[Place], tell: &mut dyn FnMut(usize, usize)) -> io::Result<Checked> {
    let mut checked = Checked::default();
    for place in places {
        let (store, all) = (&*place.objects, Filter::everything());
        let mut damaged =
            |name: &str, problem: String| checked.damage.push((format!("{}/{name}", store.name()), problem));
        // An object that is put there between the two listings has its manifest in the second.
        let objects = files(store, &all).map_err(|error| place.unreadable(error))?;
        let manifests = manifests(store, &all).map_err(|error| place.unreadable(error))?;
        let known: BTreeSet<String> = manifests.iter().filter_map(|name| object_of(name)).collect();
        for object in objects.iter().filter(|name| name.ends_with(OBJECT) && !known.contains(*name)) {
            damaged(object, "it has no manifest: it is not whole, or being sealed just now".to_owned());
        }
        for (index, name) in manifests.iter().enumerate() {
            match manifest(store, name) {
                Ok(manifest) => match compare(store, &manifest) {
                    Ok(()) => {
                        checked.objects += 1;
                        checked.lines += manifest.lines;
                    }
                    Err(problem) => damaged(&manifest.object, problem),
                },
                Err(problem) => damaged(name, problem.to_string()),
            }
            tell(index + 1, manifests.len());
        }
    }
    Ok(checked)
}

fn compare(objects: &dyn Objects, manifest: &Manifest) -> Result<(), String> {
    let measured =
        Object::open(objects, &manifest.object, &manifest.seal()).and_then(|object| object.measure());
    let (rows, times) = measured.map_err(|error| error.to_string())?;
    if rows != manifest.lines {
        return Err(format!("it has {rows} rows, its manifest says {}", manifest.lines));
    }
    match times {
        Some((first, last)) if (first, last) != (manifest.first_time, manifest.last_time) => {
            let [first, last, from, to] =
                [first, last, manifest.first_time, manifest.last_time].map(show_time);
            Err(format!("its times are {first} to {last}, its manifest says {from} to {to}"))
        }
        _ => Ok(()),
    }
}
