//! `chaos`: real processes under a fault plan.

use super::real::service;
use super::{Problem, parse_seed, parse_time, show};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use seedfall::words::counted;
use seedfall_real::chaos::{ChaosOptions, ChaosReport, ChaosVerdict};
use seedfall_real::service::Served;
use seedfall_sim::Seed;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "\
The seed draws the plan and what clients ask; when anything happens, the machine decides. So a
violation is evidence, and --plan does the same faults again, not the same run.

Nodes lose with a kill what they had not synced (--direct: they do not, as the page cache lives on).
A node that stops for good loses its disk too, within what the protocol can spare. One that is shut
down is told to end by SIGTERM or SIGINT, is killed if it does not, and is started again.

Ctrl-C or SIGTERM breaks it off at any time, also while the history is judged.

Exit codes: 0 every property holds, 1 safety broken, 2 bad usage, 3 a final operation did not
complete, 4 vacuous, 5 a node ended by itself, or with an error as it was told to, its replay
diverges or a property panics, 6 unknown within the checker's budget, 130 broken off. No process is
left. The files of a run that fails are kept, and named; those of one that is broken off, if it was
recorded or had come to be judged.")]
pub(super) struct ChaosArgs {
    /// The protocol.
    protocol: String,
    /// How many nodes.
    #[arg(long, default_value_t = 5, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// How long faults last.
    #[arg(long = "for", default_value = "60s", value_parser = parse_time, value_name = "TIME")]
    time: Duration,
    /// What decides the plan; without it, one that is printed.
    #[arg(long, value_parser = parse_seed)]
    seed: Option<u64>,
    /// The faults, from a file (`plan.json` of a run that was kept).
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Print the plan, and do nothing.
    #[arg(long)]
    show_plan: bool,
    /// The program whose `serve` is a node; without it, this one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Nodes write through at once.
    #[arg(long)]
    direct: bool,
    /// Nodes record every input, and at the end all of their lives are replayed and compared.
    #[arg(long)]
    record: bool,
}

/// How many operations of a contradiction are printed: the last ones.
const SHOWN: usize = 12;

/// Runs chaos.
pub(super) fn chaos(
    services: &[Box<dyn Served>],
    args: &ChaosArgs,
    json: bool,
) -> Result<u8, Problem> {
    let service = service(services, &args.protocol)?;
    let plan = match &args.plan {
        None => None,
        Some(path) => {
            let bad = |error: String| Problem(format!("{}: {error}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
            Some(serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?)
        }
    };
    let seed = match args.seed {
        Some(seed) => seed,
        // Short, to be typed.
        None => seedfall_real::service::entropy()? % 1_000_000,
    };
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?,
    };
    let options = ChaosOptions {
        nodes: args.nodes.into(),
        time: args.time,
        seed: Seed(seed),
        plan,
        program,
        direct: args.direct,
        record: args.record,
    };
    if args.show_plan {
        let plan = service.chaos_plan(&options)?;
        match json {
            true => show::raw(&serde_json::to_string(&plan)?),
            false => plan.entries.iter().for_each(|entry| show::line(&entry.to_string())),
        }
        return Ok(0);
    }
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(args.time.as_secs()) };
    if let Ok(style) =
        ProgressStyle::with_template("{elapsed:>4} {wide_bar} {pos}/{len}s {prefix} {msg}")
    {
        bar.set_style(style);
    }
    let report = service.chaos(&options, &|progress| {
        bar.set_position(progress.elapsed.as_secs().min(args.time.as_secs()));
        bar.set_prefix(format!("{} ok,", show::count(progress.completed)));
        bar.set_message(progress.in_force.clone());
    })?;
    bar.finish_and_clear();
    let code = code(&report.verdict);
    match json {
        true => show::raw(&as_json(&args.protocol, seed, &report, code).to_string()),
        false => tell(args, seed, &report),
    }
    Ok(code)
}

fn code(verdict: &ChaosVerdict) -> u8 {
    match verdict {
        ChaosVerdict::Holds => 0,
        ChaosVerdict::Violated { .. } => 1,
        ChaosVerdict::Late(_) => 3,
        ChaosVerdict::Vacuous(_) => 4,
        // A replay that parts is a bug of the driver, or of the protocol's.
        ChaosVerdict::Died(_) | ChaosVerdict::Diverged(_) | ChaosVerdict::Panicked(_) => 5,
        ChaosVerdict::Unknown(_) => 6,
        ChaosVerdict::Interrupted => 130,
    }
}

fn word(verdict: &ChaosVerdict) -> &'static str {
    match verdict {
        ChaosVerdict::Holds => "holds",
        ChaosVerdict::Violated { .. } => "violated",
        ChaosVerdict::Late(_) => "late",
        ChaosVerdict::Vacuous(_) => "vacuous",
        ChaosVerdict::Died(_) => "died",
        ChaosVerdict::Diverged(_) => "diverged",
        ChaosVerdict::Panicked(_) => "panicked",
        ChaosVerdict::Unknown(_) => "unknown",
        ChaosVerdict::Interrupted => "interrupted",
    }
}

fn tell(args: &ChaosArgs, seed: u64, report: &ChaosReport) {
    let mut table = show::table(&["fault", "planned", "took effect"], &[1, 2]);
    for (class, (planned, effects)) in &report.effects {
        table.add_row([class.name().to_owned(), show::count(*planned), show::count(*effects)]);
    }
    show::raw(&show::fitted(table, &[]));
    let ChaosReport { completed, failed, indeterminate, took, .. } = report;
    show::line(&format!(
        "{}: {}, {} of faults, seed {seed}: {} completed, {failed} refused, \
         {indeterminate} with an unknown outcome, in {:.1}s",
        args.protocol,
        counted(args.nodes as u64, "node"),
        seedfall_sim::Duration::nanos(args.time.as_nanos() as u64),
        counted(*completed, "operation"),
        took.as_secs_f64(),
    ));
    let bad = |words: &str| show::line(&show::styled(show::BAD, words));
    match &report.verdict {
        ChaosVerdict::Holds => {
            let judged = report.judged.join(", ");
            show::line(&show::styled(show::GOOD, &format!("holds: {judged}")));
        }
        ChaosVerdict::Violated { property, reason, operations } => {
            bad(&format!("violated: {property}"));
            show::line(&format!("  {reason}"));
            let earlier = operations.len().saturating_sub(SHOWN);
            if earlier > 0 {
                show::line(&format!("    ... and {earlier} before these, in history.txt"));
            }
            operations[earlier..].iter().for_each(|one| show::line(&format!("    {one}")));
        }
        ChaosVerdict::Late(why) => bad(&format!("late: {why}")),
        ChaosVerdict::Died(why) => bad(&format!("a node died: {why}")),
        ChaosVerdict::Diverged(why) => bad(&format!("a replay diverges: {why}")),
        ChaosVerdict::Panicked(why) => bad(&format!("a panic: {why}")),
        ChaosVerdict::Vacuous(why) | ChaosVerdict::Unknown(why) => {
            let word = word(&report.verdict);
            show::line(&show::styled(show::DULL, &format!("{word}: {why}")));
        }
        ChaosVerdict::Interrupted => {
            let kept = report.kept.is_some();
            let files = if kept { "" } else { ", and no file" };
            show::line(&format!("broken off (exit code 130); no process is left{files}"));
        }
    }
    if let Some((lives, inputs, effects)) = report.replayed {
        let (inputs, effects) = (show::count(inputs), show::count(effects));
        show::line(&format!(
            "replayed: {lives} lives, {inputs} inputs, {effects} effects: the same, every one"
        ));
    }
    if let Some(kept) = &report.kept {
        show::line(&format!("kept: {} (plan, history, logs, files)", kept.display()));
    }
}

fn as_json(protocol: &str, seed: u64, report: &ChaosReport, code: u8) -> serde_json::Value {
    let (reason, operations) = match &report.verdict {
        ChaosVerdict::Violated { property, reason, operations } => {
            (format!("{property}: {reason}"), operations.clone())
        }
        ChaosVerdict::Late(why)
        | ChaosVerdict::Died(why)
        | ChaosVerdict::Diverged(why)
        | ChaosVerdict::Panicked(why)
        | ChaosVerdict::Vacuous(why)
        | ChaosVerdict::Unknown(why) => (why.clone(), Vec::new()),
        ChaosVerdict::Holds | ChaosVerdict::Interrupted => (String::new(), Vec::new()),
    };
    let effects: serde_json::Map<_, _> = report
        .effects
        .iter()
        .map(|(class, (planned, effects))| {
            (class.name().to_owned(), json!({ "planned": planned, "effects": effects }))
        })
        .collect();
    json!({
        "protocol": protocol,
        "seed": seed,
        "verdict": word(&report.verdict),
        "code": code,
        "reason": reason,
        "operations": operations,
        "replayed": report.replayed,
        "judged": report.judged,
        "completed": report.completed,
        "failed": report.failed,
        "indeterminate": report.indeterminate,
        "seconds": report.took.as_secs_f64(),
        "faults": effects,
        "plan": report.plan,
        "kept": report.kept,
    })
}
