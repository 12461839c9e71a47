//! What was measured, as a Markdown table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::load::Outcome;
use crate::servers::Server;

/// All figures of all rounds.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    unit: &'static str,
    figures: Vec<(Server, f64)>,
    outcomes: Vec<(Server, Outcome)>,
}

impl Table {
    pub fn add(&mut self, name: &str, unit: &'static str, server: Server, figure: f64) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.figures.push((server, figure)),
            None => self.rows.push(Row {
                name: name.to_owned(),
                unit,
                figures: vec![(server, figure)],
                outcomes: Vec::new(),
            }),
        }
    }

    /// What else was seen of a load.
    pub fn note(&mut self, name: &str, server: Server, outcome: Outcome) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.name == name) {
            row.outcomes.push((server, outcome));
        }
    }

    /// Medians, and ours as a multiple of coturn's.
    pub fn markdown(&self) -> String {
        let mut text = "| | unit | tandem | coturn | ratio | floor |\n|---|---|---|---|---|---|\n".to_owned();
        for row in &self.rows {
            let figure = |server| median(row.of(server)).map_or("-".to_owned(), |figure| format!("{figure:.2}"));
            let ratio = match (median(row.of(Server::Tandem)), median(row.of(Server::Coturn))) {
                (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
                _ => "-".to_owned(),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {ratio} | {} |",
                row.name,
                row.unit,
                figure(Server::Tandem),
                figure(Server::Coturn),
                figure(Server::Floor)
            );
        }
        text
    }

    /// Every figure of every round.
    pub fn json(&self) -> Value {
        let servers = [Server::Tandem, Server::Coturn, Server::Floor];
        Value::Array(
            self.rows
                .iter()
                .map(|row| {
                    let mut entry = json!({ "name": row.name, "unit": row.unit });
                    for server in servers {
                        let notes: Vec<Value> = row.outcomes.iter().filter(|(of, _)| *of == server).map(|(_, outcome)| {
                    json!({ "per_second": outcome.rate, "busy": outcome.busy, "lost": outcome.lost })
                }).collect();
                        entry[server.name()] = json!({ "rounds": row.of(server), "notes": notes });
                    }
                    entry
                })
                .collect(),
        )
    }
}

impl Row {
    fn of(&self, server: Server) -> Vec<f64> {
        self.figures.iter().filter(|(of, _)| *of == server).map(|&(_, figure)| figure).collect()
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
