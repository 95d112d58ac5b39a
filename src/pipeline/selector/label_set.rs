//! Reads a stream's labels as Loki's push messages write them.
//! In: the text.  Out: names and values.  Owns: nothing.

use super::lexer::{Lexer, TokenKind};
use super::{SelectorError, string};

/// Names and values of `{name="value", …}`; a value that is not UTF-8 is made so.
pub(crate) fn label_set(text: &str) -> Result<Vec<(String, String)>, SelectorError> {
    let mut lexer = Lexer::new(text);
    let mut labels = Vec::new();
    let open = lexer.next()?;
    if open.kind != TokenKind::Mark("{") {
        return Err(open.unexpected("labels must start with `{`"));
    }
    loop {
        let name = lexer.next()?;
        match name.kind {
            TokenKind::Name(written) => {
                let equals = lexer.next()?;
                if equals.kind != TokenKind::Mark("=") {
                    return Err(equals.unexpected("expected `=` after the label name"));
                }
                let (_, value) = string(&mut lexer)?;
                labels.push((written.to_owned(), String::from_utf8_lossy(&value).into_owned()));
            }
            TokenKind::Mark("}") => break,
            _ => return Err(name.unexpected("expected a label name or `}`")),
        }
        let after = lexer.next()?;
        match after.kind {
            TokenKind::Mark(",") => {}
            TokenKind::Mark("}") => break,
            _ => return Err(after.unexpected("expected `,` or `}` after a label")),
        }
    }
    let end = lexer.next()?;
    if end.kind == TokenKind::End { Ok(labels) } else { Err(end.unexpected("expected the end")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Labels;

    #[test]
    fn labels_are_read_as_loki_reads_them() {
        let shown = |text| label_set(text).map_err(|error| error.to_string());
        let pairs = |pairs: &[(&str, &str)]| {
            Ok(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
        };
        assert_eq!(shown("{}"), pairs(&[]));
        assert_eq!(shown(r#" { a = "1" ,b="x\"\u00e9" , } "#), pairs(&[("a", "1"), ("b", "x\"é")]));
        for wrong in ["", "a", "{", "{a}", "{a=1}", r#"{a="1""#, r#"{a="1"} x"#, r#"{a=~"1"}"#, r#"{,}"#] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_read_back(value in any::<String>(), name in "[a-z_][a-z0-9_]{0,8}") {
            let labels: Labels = [(name.as_str(), value.as_str()), ("zz9", "1")].into_iter().collect();
            let read: Labels = label_set(&labels.render()).unwrap().into_iter().collect();
            prop_assert_eq!(read, labels);
        }
    }
}
