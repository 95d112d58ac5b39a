//! A stream as it leaves the pipeline: labels, and the tenant it belongs to.
//! In: a label set.  Out: its rendered form.  Owns: both.

use crate::record::Labels;

/// One stream. The tenant label (`__tenant_id__`) is taken out of the labels.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The labels Loki gets.
    pub(crate) labels: Labels,
    /// The same as Loki's label string.
    pub(crate) text: String,
    /// Overrides the client's `tenant_id`.
    pub(crate) tenant: Option<String>,
}

impl Stream {
    /// The stream of a label set.
    pub(crate) fn new(mut labels: Labels) -> Stream {
        let tenant = labels.remove("__tenant_id__");
        // It stays for as long as its target.
        labels.shrink();
        let mut text = labels.render();
        text.shrink_to_fit();
        Stream { text, labels, tenant }
    }
}
