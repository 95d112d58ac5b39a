//! Paths with slashes. The `os` forms are the same: this agent runs where paths have slashes.
//! In: paths.  Out: parts of them.  Owns: nothing.

use super::super::call::{Call, Outcome, Row, row};
use super::super::value::Value;

pub(super) const ROWS: &[Row] = &[
    row("base", "s", base),
    row("osBase", "s", base),
    row("clean", "s", |call| Ok(Value::text(clean(call.text(0))))),
    row("osClean", "s", |call| Ok(Value::text(clean(call.text(0))))),
    row("dir", "s", dir),
    row("osDir", "s", dir),
    row("ext", "s", ext),
    row("osExt", "s", ext),
    row("isAbs", "s", |call| Ok(Value::Bool(call.text(0).starts_with('/')))),
    row("osIsAbs", "s", |call| Ok(Value::Bool(call.text(0).starts_with('/')))),
];

/// The last element.
fn base<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let path = call.take_text(0);
    if path.is_empty() {
        return Ok(Value::text("."));
    }
    let name = path.part(|path| {
        let path = path.trim_end_matches('/');
        path.rsplit('/').next().unwrap_or(path)
    });
    Ok(if name.is_empty() { Value::text("/") } else { Value::Text(name) })
}

/// All but the last element.
fn dir<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let path = call.text(0);
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    Ok(Value::text(clean(&path[..end])))
}

/// From the last dot of the last element.
fn ext<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Text(call.take_text(0).part(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.rfind('.').map_or("", |dot| &name[dot..])
    })))
}

/// The shortest path to the same place, by its words alone.
fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for element in path.split('/') {
        match (element, kept.last()) {
            ("" | ".", _) => {}
            ("..", Some(&last)) if last != ".." => {
                kept.pop();
            }
            ("..", _) if is_rooted => {}
            _ => kept.push(element),
        }
    }
    match (is_rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
    }
}
