//! The table that a benchmark fills.
//! In: rows.  Out: a table, and the figures as JSON.  Owns: the rows.

use serde_json::{Map, Value, json};

/// One line of the table.
pub struct Row {
    pub what: String,
    /// Nothing where a figure only describes.
    pub target: &'static str,
    pub measured: String,
    pub met: Option<bool>,
    /// By name, for programs.
    pub figures: Vec<(&'static str, f64)>,
}

/// All rows of a run.
#[derive(Default)]
pub struct Report {
    figures: Map<String, Value>,
}

impl Report {
    /// The head of the table.
    pub fn begin() -> Report {
        println!("| what | target | measured | met |\n|---|---|---|---|");
        Report::default()
    }

    /// Adds rows of a scenario, and prints them.
    pub fn add(&mut self, scenario: &str, rows: Vec<Row>) {
        let mut all = Map::new();
        for Row { what, target, measured, met, figures } in rows {
            let met = met.map_or("", |met| if met { "yes" } else { "no" });
            println!("| {what} | {target} | {measured} | {met} |");
            all.extend(figures.into_iter().map(|(name, figure)| (name.to_owned(), json!(rounded(figure)))));
        }
        self.figures.insert(scenario.to_owned(), Value::Object(all));
    }

    /// All figures.
    pub fn finish(self) {
        println!("\n{}", Value::Object(self.figures));
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
