//! Sprig's lists.
//! In: lists.  Out: new lists and elements.  Owns: nothing.

use std::rc::Rc;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::value::{Element, List, Value};

pub(super) const ROWS: &[Row] = &[];

/// The list in this parameter.
pub(super) fn list_at<'a>(call: &Call<'_, 'a>, at: usize) -> Result<Rc<List<'a>>, Problem> {
    match call.value(at) {
        Value::List(list) => Ok(Rc::clone(list)),
        other => call.fail(format!("wants a list, got a value of type {}", other.type_name())),
    }
}

/// Sprig's `slice`: from an index to another, the end by default.
pub(super) fn slice<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    call.fail("not yet")
}
