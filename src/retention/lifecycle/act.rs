//! Steps on objects, each of which may be cut short anywhere and done again.
//! In: stores, names, manifests.  Out: changes there.  Owns: nothing.

use std::io;

use bytes::Bytes;

use crate::retention::archive::{Manifest, OBJECT, TOMBSTONE, manifest_of, tombstone_of};
use crate::retention::objects::Objects;

/// Removes an object, its manifest first. What a crash leaves of it has a tombstone.
pub(super) fn remove(objects: &dyn Objects, object: &str) -> io::Result<()> {
    objects.put(&tombstone_of(object), Bytes::new())?;
    finish(objects, object)
}

/// Goes on removing what has this tombstone.
pub(super) fn clear(objects: &dyn Objects, tombstone: &str) -> io::Result<()> {
    let stem = tombstone.strip_suffix(TOMBSTONE).unwrap_or(tombstone);
    finish(objects, &format!("{stem}{OBJECT}"))
}

fn finish(objects: &dyn Objects, object: &str) -> io::Result<()> {
    objects.remove(&manifest_of(object))?;
    objects.remove(object)?;
    objects.remove(&tombstone_of(object))
}

/// Whether a tombstone is that of an object.
pub(super) fn is_tombstone_of(tombstone: &str, object: &str) -> bool {
    tombstone.strip_suffix(TOMBSTONE) == object.strip_suffix(OBJECT)
}

/// Puts an object in place so that it is whole or has a tombstone, and reads it back.
pub(super) fn place(objects: &dyn Objects, bytes: Bytes, manifest: &Manifest) -> io::Result<()> {
    objects.put(&tombstone_of(&manifest.object), Bytes::new())?;
    objects.put(&manifest.object, bytes)?;
    objects.put(&manifest_of(&manifest.object), manifest.encode()?.into())?;
    check(objects, manifest)?;
    settle(objects, manifest)
}

/// The object is whole, and stays.
fn settle(objects: &dyn Objects, manifest: &Manifest) -> io::Result<()> {
    objects.remove(&tombstone_of(&manifest.object))
}

/// Removes what an object replaces.
pub(super) fn replace(objects: &dyn Objects, manifest: &Manifest, replaced: &[&String]) -> io::Result<()> {
    // That there is no tombstone may not have been durable.
    settle(objects, manifest)?;
    replaced.iter().try_for_each(|name| remove(objects, name))
}

/// Copies an object to another store, and removes it where it was once the copy has been read back.
pub(super) fn transfer(from: &dyn Objects, to: &dyn Objects, manifest: &Manifest) -> io::Result<()> {
    if is_there(to, manifest) {
        settle(to, manifest)?;
    } else {
        let bytes = from.read(&manifest.object)?;
        manifest.seal().check(&bytes).map_err(io::Error::other)?;
        place(to, bytes, manifest)?;
    }
    remove(from, &manifest.object)
}

/// Whether it was copied already, wholly.
fn is_there(objects: &dyn Objects, manifest: &Manifest) -> bool {
    let tombstone = objects.read(&tombstone_of(&manifest.object));
    tombstone.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) && check(objects, manifest).is_ok()
}

fn check(objects: &dyn Objects, manifest: &Manifest) -> io::Result<()> {
    let copy = Manifest::decode(&objects.read(&manifest_of(&manifest.object))?)?;
    if copy != *manifest {
        return Err(io::Error::other("the manifest that was read back is another one"));
    }
    manifest.seal().check(&objects.read(&manifest.object)?).map_err(io::Error::other)
}
