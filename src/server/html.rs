//! The few pieces of HTML that pages are made of. They need no scripts and read well as plain text too.
//! In: texts of any kind.  Out: markup in which they are only texts.  Owns: nothing.

use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};

const HEAD: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width\">\n<style>",
    "body{font:15px/1.4 sans-serif;margin:1.5em}table{border-collapse:collapse;margin:.5em 0 1.5em}",
    "th,td{border:1px solid #bbb;padding:.2em .6em;text-align:left;vertical-align:top}",
    "code{white-space:pre-wrap;overflow-wrap:anywhere}",
    "</style>\n"
);

/// A text that cannot end the element or the attribute it stands in.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() && !matches!(c, '\t' | '\n') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A whole page: `title` is a text, `body` is markup.
pub(super) fn page(title: &str, body: &str) -> Response {
    let title = escape(title);
    let head = format!("{HEAD}<title>{title} - tailwater</title></head>\n<body>\n<h1>{title}</h1>\n");
    // Nothing on the page is to run or be fetched, whatever gets into it.
    let policy = (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'");
    ([policy], Html(format!("{head}{body}</body>\n</html>\n"))).into_response()
}

/// A table: heads are texts, cells are markup.
pub(super) fn table<C: AsRef<str>>(heads: &[&str], rows: impl IntoIterator<Item = Vec<C>>) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{}</th>", escape(head))).collect();
    let mut table = format!("<table>\n<tr>{heads}</tr>\n");
    for row in rows {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", cell.as_ref())).collect();
        table.push_str(&format!("<tr>{cells}</tr>\n"));
    }
    table + "</table>\n"
}

/// Whether a page is asked for as JSON: by `format=json` in the address, or by the first kind of answer that is accepted.
pub(super) fn wants_json(query: Option<&str>, headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let first = accepted.split([',', ';']).next().unwrap_or_default().trim();
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("format="));
    asked.map_or(first == "application/json", |format| format == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(
            escape("<b a=\"1\" c='2'>&\u{1b}é"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;\u{fffd}é"
        );
        let table = table(&["<a>"], [vec![escape("<i>")]]);
        assert_eq!(table, "<table>\n<tr><th>&lt;a&gt;</th></tr>\n<tr><td>&lt;i&gt;</td></tr>\n</table>\n");
    }

    #[test]
    fn json_is_given_to_whom_asks_for_it() {
        let accepting = |accept: &str| HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        let browser = accepting("text/html,application/xhtml+xml,application/json;q=0.9");
        let program = accepting("application/json, */*;q=0.1");
        assert!(!wants_json(None, &HeaderMap::new()));
        assert!(!wants_json(None, &browser) && wants_json(Some("a=b&format=json"), &browser));
        assert!(wants_json(None, &program) && !wants_json(Some("format=html"), &program));
    }
}
