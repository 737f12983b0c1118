//! The results, for people and for programs.

use crate::runner::{Engine, Figure};
use seedfall_bench::workload::Workload;
use serde_json::{Value, json};
use std::fmt::Write;

/// How many times faster than a peer a workload has to be.
struct Target {
    workload: Workload,
    /// Against the fastest of these.
    peers: &'static [Engine],
    ratio: f64,
}

const TARGETS: [Target; 7] = [
    Target { workload: Workload::W1, peers: &[Engine::Madsim], ratio: 15.0 },
    Target { workload: Workload::W3, peers: &[Engine::Madsim, Engine::Turmoil], ratio: 15.0 },
    Target { workload: Workload::W4, peers: &[Engine::Madsim], ratio: 3.0 },
    Target { workload: Workload::W5, peers: &[Engine::Madsim], ratio: 10.0 },
    Target { workload: Workload::W5, peers: &[Engine::Turmoil], ratio: 25.0 },
    Target { workload: Workload::P1, peers: &[Engine::Madsim], ratio: 1.0 },
    Target { workload: Workload::P1, peers: &[Engine::Turmoil], ratio: 6.0 },
];

/// Runs of five nodes per CPU second.
const STARTS: f64 = 1_000.0;
/// Episodes per CPU second.
const EPISODES: f64 = 5_000.0;
/// An episode counts if it delivers so many messages.
const EPISODE_MESSAGES: f64 = 200.0;

/// One comparison with its target.
struct Verdict {
    what: String,
    reached: f64,
    target: f64,
}

fn verdicts(figures: &[Figure]) -> Vec<Verdict> {
    let of = |workload, engine| {
        figures.iter().find(|figure| (figure.workload, figure.engine) == (workload, engine))
    };
    let mut verdicts = Vec::new();
    for Target { workload, peers, ratio } in &TARGETS {
        let peers: Vec<&Figure> = peers.iter().filter_map(|peer| of(*workload, *peer)).collect();
        let best = peers.iter().min_by(|a, b| a.median.total_cmp(&b.median));
        let (Some(best), Some(ours)) = (best, of(*workload, Engine::Seedfall)) else { continue };
        let what = format!("{workload:?}: times faster than {}", name(best.engine));
        verdicts.push(Verdict { what, reached: best.median / ours.median, target: *ratio });
    }
    if let Some(figure) = of(Workload::P3, Engine::Seedfall) {
        let what = "P3: runs of five nodes a CPU second".to_owned();
        verdicts.push(Verdict { what, reached: 1e9 / figure.median, target: STARTS });
    }
    if let Some(figure) = of(Workload::R, Engine::Seedfall) {
        let messages = figure.done.messages as f64 / figure.done.events as f64;
        let what = format!("R: episodes of {messages:.0} deliveries per CPU second");
        let reached = if messages < EPISODE_MESSAGES { 0.0 } else { 1e9 / figure.median };
        verdicts.push(Verdict { what, reached, target: EPISODES });
    }
    verdicts
}

fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Seedfall => "Seedfall",
        Engine::Madsim => "madsim",
        Engine::Turmoil => "turmoil",
    }
}

fn event(workload: Workload) -> &'static str {
    match workload {
        Workload::W1 | Workload::W3 | Workload::P1 | Workload::P2 => "delivery",
        Workload::W4 | Workload::P3 => "simulation",
        Workload::W5 | Workload::P4 => "virtual second",
        Workload::R => "episode",
    }
}

/// Two tables: CPU time per event, then the ratios beside their targets.
pub fn text(rounds: u32, figures: &[Figure]) -> String {
    let mut text =
        format!("CPU time per event, median of {rounds} interleaved rounds (least, most)\n\n");
    for Figure { workload, engine, median, least, most, done } in figures {
        let (workload, event) = (format!("{workload:?}"), event(*workload));
        let rate = 1e9 / median;
        let _ = writeln!(
            text,
            "{workload:<3} {:<9} {median:>12.1} ns per {event:<14} ({least:.1}, {most:.1})  \
             {rate:.0}/s{}",
            name(*engine),
            if done.completed > 0 {
                format!(
                    "  {:.0} deliveries and {:.0} operations each",
                    done.messages as f64 / done.events as f64,
                    done.completed as f64 / done.events as f64,
                )
            } else {
                String::new()
            },
        );
    }
    let _ = writeln!(text, "\n{:<48} {:>9} {:>9}", "", "reached", "target");
    for Verdict { what, reached, target } in verdicts(figures) {
        let mark = if reached >= target { "" } else { "  MISSED" };
        let _ = writeln!(text, "{what:<48} {reached:>9.1} {target:>9.1}{mark}");
    }
    text
}

/// The same as one object.
pub fn json(rounds: u32, figures: &[Figure]) -> Value {
    let of_figure = |figure: &Figure| {
        let Figure { workload, engine, median, least, most, done } = figure;
        json!({
            "workload": format!("{workload:?}"),
            "engine": name(*engine),
            "event": event(*workload),
            "cpu_nanos_per_event": { "median": median, "least": least, "most": most },
            "done": done,
        })
    };
    let of_verdict = |one: &Verdict| {
        let Verdict { what, reached, target } = one;
        json!({ "what": what, "reached": reached, "target": target })
    };
    json!({
        "rounds": rounds,
        "figures": figures.iter().map(of_figure).collect::<Vec<_>>(),
        "targets": verdicts(figures).iter().map(of_verdict).collect::<Vec<_>>(),
    })
}
