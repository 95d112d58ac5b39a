//! Compares objects with their manifests.
//! In: a store.  Out: how many are whole, and what is wrong with the others.  Owns: nothing.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::retention::archive::{Manifest, Object, show_time};
use crate::retention::filter::Filter;
use crate::retention::query::listing::{Place, files, manifest};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) objects: u64,
    pub(crate) lines: u64,
    /// File and problem.
    pub(crate) damage: Vec<(PathBuf, String)>,
}

/// Looks at every object of the stores; `tell` is told how many it has looked at, of how many.
pub(crate) fn check(places: &[Place], tell: &mut dyn FnMut(usize, usize)) -> io::Result<Checked> {
    let mut checked = Checked::default();
    for place in places {
        let of = |extension| files(&place.root, &Filter::everything(), extension);
        // An object that is put there between the two listings has its manifest in the second.
        let (objects, manifests) = (of("parquet")?, of("json")?);
        let manifests: BTreeSet<PathBuf> = manifests.into_iter().collect();
        let known: BTreeSet<PathBuf> = manifests.iter().map(|path| path.with_extension("parquet")).collect();
        for object in objects.iter().filter(|object| !known.contains(*object)) {
            let problem = "it has no manifest: it is not whole, or being sealed just now";
            checked.damage.push((object.clone(), problem.to_owned()));
        }
        for (index, path) in manifests.iter().enumerate() {
            match manifest(path) {
                Ok(manifest) => match compare(&path.with_extension("parquet"), &manifest) {
                    Ok(()) => {
                        checked.objects += 1;
                        checked.lines += manifest.lines;
                    }
                    Err(problem) => checked.damage.push((path.with_extension("parquet"), problem)),
                },
                Err(problem) => checked.damage.push((path.clone(), problem.to_string())),
            }
            tell(index + 1, manifests.len());
        }
    }
    Ok(checked)
}

fn compare(path: &Path, manifest: &Manifest) -> Result<(), String> {
    let measured = Object::open(path, &manifest.seal()).and_then(|object| object.measure());
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
