//! `sampling`: keeps lines at random.
//! In: an entry.  Out: the entry, or nothing.  Owns: the rate, a generator of random numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind =
    StageKind { name: "sampling", about: "Keeps lines at random", options: Options::Block(&OPTIONS), build };

static OPTIONS: Table = Table(&[
    row("rate", Kind::Number, "", "Required: share of the lines that stay, from 0 to 1"),
    row("drop_counter_reason", Kind::Text, "sampling_stage", "Under what the dropped lines are counted"),
]);

#[derive(Debug)]
struct Sampling {
    /// Random numbers up to this keep the line; `None` keeps none.
    keep_up_to: Option<u64>,
    state: AtomicU64,
    reason: DropReason,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    // Promtail takes a missing rate for 0 and drops everything without a word.
    let node = block.required("rate")?;
    let rate = node.number()?;
    if !(0.0..=1.0).contains(&rate) {
        return Err(node.invalid("`rate` must be from 0 to 1"));
    }
    let reason = match block.optional("drop_counter_reason", Node::text)? {
        None | Some("") => "sampling_stage",
        Some(reason) => reason,
    };
    let reason = compiler.drop_reason(reason);
    let seed = getrandom::u64().unwrap_or_default();
    let keep_up_to = (rate > 0.0).then_some((rate * u64::MAX as f64) as u64);
    compiler.add(Sampling { keep_up_to, state: AtomicU64::new(seed), reason });
    Ok(())
}

impl Sampling {
    /// SplitMix64: each number costs an addition and some shifts, and tasks may share the generator.
    fn random(&self) -> u64 {
        let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Stage for Sampling {
    fn apply<'s>(&'s self, _: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        match self.keep_up_to {
            Some(limit) if self.random() <= limit => Flow::Continue,
            _ => Flow::Drop(&self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;
    use crate::metrics::{Own, Registry};

    #[test]
    fn about_the_wanted_share_of_lines_is_kept() {
        let registry = Registry::default();
        let own = Own::register(&registry);
        let reason = Compiler::new(&registry, &own).drop_reason("sampling_stage");
        let sampling = Sampling { keep_up_to: Some(u64::MAX / 4), state: AtomicU64::new(7), reason };
        let kept = (0..10_000).filter(|_| sampling.random() <= u64::MAX / 4).count();
        assert!((2_300..2_700).contains(&kept), "{kept} of 10,000 with the fixed seed");
        for refused in ["{}", "{rate: 1.5}", "{rate: -1}", "{rate: x}"] {
            let options = parse_yaml(refused).unwrap();
            assert!(build(&options, &mut Compiler::new(&registry, &own)).is_err(), "{refused}");
        }
    }
}
