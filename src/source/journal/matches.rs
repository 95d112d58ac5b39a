//! Which entries are wanted: terms `FIELD=VALUE`.
//! In: the text of `matches`; payloads of an entry.  Out: whether it is wanted.  Owns: the terms.

/// Terms of the same field are alternatives; each field must have one of its terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matches {
    fields: Vec<Alternatives>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternatives {
    field: String,
    /// As they are in a journal file.
    payloads: Vec<Vec<u8>>,
}

/// A term that makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no term of the form FIELD=VALUE")]
pub(crate) struct BadTerm(String);

impl Matches {
    /// Reads terms between white space.
    pub(crate) fn parse(text: &str) -> Result<Matches, BadTerm> {
        let mut matches = Matches::default();
        for term in text.split_whitespace() {
            let bad = || BadTerm(term.to_owned());
            let (field, value) = term.split_once('=').ok_or_else(bad)?;
            let named = field.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
            if field.is_empty() || !named || value.contains('=') {
                return Err(bad());
            }
            let payload = term.as_bytes().to_vec();
            match matches.fields.iter_mut().find(|known| known.field == field) {
                Some(known) => known.payloads.push(payload),
                None => {
                    matches.fields.push(Alternatives { field: field.to_owned(), payloads: vec![payload] })
                }
            }
        }
        Ok(matches)
    }

    /// Begins with an entry.
    pub(super) fn begin(&self, seen: &mut Vec<bool>) {
        seen.clear();
        seen.resize(self.fields.len(), false);
    }

    /// Takes note of one of its payloads.
    pub(super) fn see(&self, payload: &[u8], seen: &mut [bool]) {
        for (field, seen) in self.fields.iter().zip(seen) {
            *seen |= field.payloads.iter().any(|wanted| wanted == payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(terms: &str, payloads: &[&str]) -> bool {
        let (matches, mut seen) = (Matches::parse(terms).unwrap(), vec![true; 5]);
        matches.begin(&mut seen);
        payloads.iter().for_each(|payload| matches.see(payload.as_bytes(), &mut seen));
        seen.iter().all(|seen| *seen)
    }

    #[test]
    fn b_jour_7_terms_of_one_field_are_alternatives_and_of_two_fields_both_needed() {
        assert!(wanted("", &["A=1"]));
        assert!(wanted(" A=1 \t B=2", &["C=3", "B=2", "A=1"]));
        assert!(!wanted("A=1 B=2", &["A=1", "B=3"]));
        assert!(wanted("A=1 A=2 B=2", &["A=2", "B=2"]));
        assert!(wanted("A=1", &["A=0", "A=1"]), "a field may have several values");
        assert!(wanted("A=", &["A="]));
    }

    #[test]
    fn a_term_that_makes_no_sense_is_refused() {
        for (text, term) in
            [("A=1 B", "B"), ("A=1=2", "A=1=2"), (" =1", "=1"), ("_SYSTEMD_UNIT=a  unit=b", "unit=b")]
        {
            assert_eq!(Matches::parse(text), Err(BadTerm(term.to_owned())));
        }
    }
}
