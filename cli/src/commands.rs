//! The commands, as a function over a list of scenarios.
//!
//! Three lines give a crate of yours the same commands for its own scenarios:
//!
//! ```no_run
//! # fn scenarios() -> Vec<Box<dyn seedfall::run::Runnable>> { Vec::new() }
//! fn main() -> std::process::ExitCode {
//!     seedfall_cli::main(&scenarios())
//! }
//! ```

mod campaign;
#[cfg(all(feature = "real", unix))]
mod chaos;
mod check;
mod clean;
mod diff;
mod exhaust;
mod explain;
mod families;
mod faults;
mod hunt;
mod inspect;
mod keep;
mod lineage;
mod logs;
mod matrix;
mod museum;
mod planted;
mod point;
mod quiet;
#[cfg(feature = "real")]
mod real;
mod scoreboard;
mod show;
mod sweeps;

pub use campaign::cargo_main;
use clap::{Args, Parser, Subcommand};
#[cfg(feature = "real")]
use clap::{CommandFactory as _, FromArgMatches as _};
use quiet::quietly;
use seedfall::case::find;
use seedfall::exhaustive::Search;
use seedfall::faults::Class;
use seedfall::report::{Conclusion, FailureKind};
use seedfall::run::Runnable;
use seedfall::shrink::{DEFAULT_RUNS, Effort};
use seedfall::sweep::{Meaning, all_cores};
use seedfall::testing::{parse_seed, parse_seeds, parse_time};
use seedfall_sim::SystemModel;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Deterministic simulation testing: one seed, one run, one verdict.
///
/// Without a command, every scenario is swept, for about 20 seconds in all, and a table shows the
/// results.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print JSON, one object a line, for machines.
    #[arg(long, global = true)]
    json: bool,
}

const EXIT_CODES: &str = "\
Exit codes: 0 every property holds, 1 safety broken, 2 bad usage or input, 3 liveness broken or
stuck, 4 nothing proved (vacuous, or undecided), 5 the protocol, the workload or a property
panicked, 6 a run does not end or eats up the memory, 7 two runs of one seed differ, 70 a bug of
Seedfall itself.

Examples:
  seedfall                                   sweep everything for 20 seconds
  seedfall sweep raft-kv --seeds 0..10000    these seeds
  seedfall hunt raft-kv --time 60s           runs chosen by what earlier ones have shown
  seedfall exhaust paxos                     every order of events of a small cluster
  seedfall replay raft-kv --seed 17          one run, and its outcome
  seedfall shrink raft-kv --seed 17          a failing run, shrunk, step by step
  seedfall explain raft-kv --seed 17         the same as columns; --html FILE: as a page
  seedfall trace raft-kv --seed 17 | less    every event of it";

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the scenarios, what they assume and what must hold.
    List,
    /// Runs many seeds of a scenario (or of all), until one fails.
    Sweep(SweepArgs),
    /// Looks for a failure where earlier runs have shown something new.
    Hunt(hunt::HuntArgs),
    /// Tries the few losses and crashes that could undo what a run acknowledged, until none is
    /// left.
    Lineage(lineage::LineageArgs),
    /// Many seeds of every scenario, in processes of their own, on one machine or many.
    #[command(subcommand)]
    Campaign(campaign::Campaign),
    /// Runs one seed, or a stored case, and reports the outcome.
    Replay(ReplayArgs),
    /// Shrinks a failing run, and prints what happens in the small one, step by step.
    Shrink(ShrinkArgs),
    /// Shows a run, shrunk if it fails: who did what when, and what led to the violation.
    Explain(ExplainArgs),
    /// Prints every event of one run: of a seed, or a stored case.
    Trace(TraceArgs),
    /// Prints the trace hash of each seed: equal hashes mean equal runs, event for event.
    Hash(HashArgs),
    /// Judges a history from a file: linearizability, weaker models, transactions.
    Check(check::CheckArgs),
    /// Shows every class of faults: what permits it, whether it fires, and which planted bug needs
    /// it; with --markdown also how much is drawn, and its source.
    Faults(faults::FaultsArgs),
    /// Runs every scenario under every model of links, nodes and timing, claimed or not.
    Matrix(matrix::MatrixArgs),
    /// Applies planted bugs (patches) to a copy of a project, one by one, and counts the seeds
    /// until each is found.
    Planted(planted::PlantedArgs),
    /// Records the seeds that campaigns ran without a failure, and makes a page of all of them.
    Clean(clean::CleanArgs),
    /// Measures how many runs each strategy of `hunt` needs for each planted bug.
    Scoreboard(scoreboard::ScoreboardArgs),
    /// Finds the event of a failing run at which its failure became likely: the point of no return.
    Point(point::PointArgs),
    /// Takes every order of events of a small cluster, to a bound: complete, or the fewest steps
    /// that break something.
    Exhaust(exhaust::ExhaustArgs),
    /// Compares two runs: the first event that differs, and the decision that makes the difference.
    Diff(diff::DiffArgs),
    /// Keeps a case among those that `cargo test` replays, or refreshes one that is stale.
    Keep(keep::KeepArgs),
    /// Lists the planted bugs, the runs that show them, and what finding them took; or shows one.
    Museum(museum::MuseumArgs),
    /// Runs one node of a protocol for real, over TCP and files, until Ctrl-C.
    #[cfg(feature = "real")]
    Serve(real::ServeArgs),
    /// Asks a cluster of served nodes one thing.
    #[cfg(feature = "real")]
    Client(real::ClientArgs),
    /// Kills, freezes, cuts off and restarts real processes on this machine, and judges what their
    /// clients saw.
    #[cfg(all(feature = "real", unix))]
    Chaos(chaos::ChaosArgs),
    /// Replays the recording of a served node (`serve --record`), and compares every effect.
    #[cfg(feature = "real")]
    Rerun(real::RerunArgs),
    /// What this build leaves out.
    #[cfg(not(feature = "real"))]
    #[command(name = "serve", aliases = ["client", "chaos", "rerun"], hide = true)]
    LeftOut {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

#[derive(Clone, Debug, Args)]
struct SweepArgs {
    /// The scenario; without it, all of them.
    name: Option<String>,
    /// Which seeds: A..B (B excluded), or a count. Without it, from 0 until the time is up.
    #[arg(long, value_parser = parse_seeds, value_name = "A..B")]
    seeds: Option<Range<u64>>,
    /// How long, in all: 500ms, 60s, 5m, 2h. Without it (and without --seeds), 20s.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    time: Option<Duration>,
    /// How many threads; without it, one a core.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Go on after a failure, and count them.
    #[arg(long)]
    keep_going: bool,
    /// Leave a class of faults out of every plan (may be repeated); `faults` lists them.
    #[arg(long, value_parser = parse_class, value_name = "CLASS")]
    without: Vec<Class>,
    /// Draw faults within another model: LINKS,NODES,TIMING, as in
    /// `arbitrary,byzantine,asynchronous`.
    #[arg(long, value_parser = matrix::parse_model, value_name = "MODEL")]
    under: Option<SystemModel>,
    /// Where failing runs are kept as cases; with --under or --without none is.
    #[arg(long, default_value = "target/seedfall", value_name = "FOLDER")]
    save_to: PathBuf,
    /// Do not shrink a run that fails, and keep nothing.
    #[arg(long, alias = "whole")]
    no_shrink: bool,
}

#[derive(Debug, Args)]
struct TraceArgs {
    /// The scenario (with --seed), or the file of a case.
    target: String,
    /// The seed.
    #[arg(long, value_parser = parse_seed)]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The scenario (with --seed), or the file of a case.
    target: String,
    /// The seed.
    #[arg(long, value_parser = parse_seed)]
    seed: Option<u64>,
    /// Keep the run as a case in this file.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Show the protocol's own logs from this level on, with virtual time and node.
    #[arg(long, value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log: Option<String>,
}

#[derive(Debug, Args)]
struct ShrinkArgs {
    /// The scenario (with --seed), or the file of a case.
    target: String,
    /// The seed.
    #[arg(long, value_parser = parse_seed)]
    seed: Option<u64>,
    /// If it does not become small, shrink up to so many of the seeds after it that fail in the
    /// same way, and keep the smallest.
    #[arg(long, default_value_t = 0, value_name = "N")]
    further: usize,
    #[command(flatten)]
    effort: EffortArgs,
    /// Keep the small run as a case in this file.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// The scenario (with --seed), or the file of a case.
    target: String,
    /// The seed.
    #[arg(long, value_parser = parse_seed)]
    seed: Option<u64>,
    /// Write it as one HTML page that needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Do not shrink a run that fails.
    #[arg(long, alias = "whole")]
    no_shrink: bool,
    /// In the page, also at which event the failure became likely; takes some seconds.
    #[arg(long, requires = "html")]
    point: bool,
    #[command(flatten)]
    effort: EffortArgs,
}

/// What making a run small may take.
#[derive(Debug, Args)]
struct EffortArgs {
    /// How many runs shrinking may take.
    #[arg(long, default_value_t = DEFAULT_RUNS, value_name = "N")]
    runs: u64,
    /// How long it may take: 500ms, 60s, 5m. Where that decides, so does the machine.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    time: Option<Duration>,
    /// How many threads; without it, one a core. The result is the same.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

impl EffortArgs {
    fn get(&self) -> Effort {
        let Self { runs, time, jobs } = *self;
        Effort { runs, time, jobs: jobs.unwrap_or_else(all_cores) }
    }
}

#[derive(Debug, Args)]
struct HashArgs {
    /// The scenario.
    name: String,
    /// Which seeds: A..B (B excluded), or a count.
    #[arg(long, value_parser = parse_seeds, value_name = "A..B", default_value = "0..10")]
    seeds: Range<u64>,
}

/// What went wrong before anything could be judged: one line, and exit code 2.
struct Problem(String);

impl<E: std::fmt::Display> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs the command that the arguments ask for, over these scenarios. The exit code says what came
/// of it.
pub fn main(scenarios: &[Box<dyn Runnable>]) -> ExitCode {
    Commands::of(scenarios).main()
}

/// As [`main`], with protocols to be served for real beside the scenarios.
#[cfg(feature = "real")]
pub fn main_with_services(
    scenarios: &[Box<dyn Runnable>],
    services: &[Box<dyn seedfall_real::service::Served>],
) -> ExitCode {
    Commands::of(scenarios).services(services).main()
}

/// What the commands are about: scenarios, and what else there is of them.
#[derive(Clone, Copy)]
pub struct Commands<'a> {
    scenarios: &'a [Box<dyn Runnable>],
    #[cfg(feature = "real")]
    services: &'a [Box<dyn seedfall_real::service::Served>],
    searches: &'a [Search],
}

impl<'a> Commands<'a> {
    /// Scenarios alone.
    pub fn of(scenarios: &'a [Box<dyn Runnable>]) -> Self {
        Self {
            scenarios,
            #[cfg(feature = "real")]
            services: &[],
            searches: &[],
        }
    }

    /// And protocols to be served for real: `serve`, `client`, `chaos`.
    #[cfg(feature = "real")]
    #[must_use]
    pub fn services(self, services: &'a [Box<dyn seedfall_real::service::Served>]) -> Self {
        Self { services, ..self }
    }

    /// And small clusters to be searched for every order of events: `exhaust`.
    #[must_use]
    pub fn searches(self, searches: &'a [Search]) -> Self {
        Self { searches, ..self }
    }

    /// Runs the command that the arguments ask for. The exit code says what came of it.
    pub fn main(self) -> ExitCode {
        #[cfg(feature = "real")]
        return finish(run(self, asked(self.services)));
        #[cfg(not(feature = "real"))]
        finish(run(self, Cli::parse()))
    }
}

/// What the arguments ask for. The help of the commands that serve says what there is to be served.
#[cfg(feature = "real")]
fn asked(services: &[Box<dyn seedfall_real::service::Served>]) -> Cli {
    let mut command = Cli::command();
    for (name, forms) in [("serve", false), ("client", true), ("chaos", false)] {
        if command.find_subcommand(name).is_none() {
            continue;
        }
        command = command.mut_subcommand(name, |one| {
            let more = one.get_after_help().map(ToString::to_string).unwrap_or_default();
            one.after_help(format!("{}\n{more}", real::listing(services, forms)))
        });
    }
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

fn run(over: Commands<'_>, cli: Cli) -> Result<u8, Problem> {
    let scenarios = over.scenarios;
    #[cfg(feature = "real")]
    let services = over.services;
    make_sense(scenarios)?;
    scenarios.iter().for_each(|scenario| scenario.prepare());
    let json = cli.json;
    match cli.command {
        None => quietly(|| sweeps::everything(scenarios, json)),
        Some(Command::List) => inspect::list(scenarios, json),
        Some(Command::Sweep(args)) => quietly(|| sweeps::sweep(scenarios, &args, json)),
        Some(Command::Hunt(args)) => quietly(|| hunt::hunt(scenarios, &args, json)),
        Some(Command::Lineage(args)) => quietly(|| lineage::lineage(scenarios, &args, json)),
        Some(Command::Campaign(args)) => quietly(|| campaign::builtin(scenarios, &args, json)),
        Some(Command::Replay(args)) => inspect::replay(scenarios, &args, json),
        Some(Command::Shrink(args)) => quietly(|| inspect::shrink(scenarios, &args, json)),
        Some(Command::Explain(args)) => quietly(|| explain::explain(scenarios, &args, json)),
        Some(Command::Trace(args)) => inspect::trace(scenarios, &args, json),
        Some(Command::Hash(args)) => inspect::hash(scenarios, &args, json),
        Some(Command::Check(args)) => check::check(&args, json),
        Some(Command::Faults(args)) => quietly(|| faults::faults(scenarios, &args, json)),
        Some(Command::Matrix(args)) => quietly(|| matrix::matrix(scenarios, &args, json)),
        Some(Command::Planted(args)) => planted::planted(scenarios, &args, json),
        Some(Command::Point(args)) => quietly(|| point::point(scenarios, &args, json)),
        Some(Command::Exhaust(args)) => exhaust::exhaust(over.searches, &args, json),
        Some(Command::Diff(args)) => quietly(|| diff::diff(scenarios, &args, json)),
        Some(Command::Keep(args)) => quietly(|| keep::keep(scenarios, &args, json)),
        Some(Command::Clean(args)) => quietly(|| clean::clean(scenarios, &args)),
        Some(Command::Scoreboard(args)) => scoreboard::scoreboard(&args),
        Some(Command::Museum(args)) => museum::museum(&args, json),
        #[cfg(feature = "real")]
        Some(Command::Serve(args)) => real::serve(services, &args),
        #[cfg(feature = "real")]
        Some(Command::Client(args)) => real::client(services, &args, json),
        #[cfg(all(feature = "real", unix))]
        Some(Command::Chaos(args)) => chaos::chaos(services, &args, json),
        #[cfg(not(feature = "real"))]
        Some(Command::LeftOut { rest: _ }) => Err(Problem(
            "`serve`, `client`, `rerun` and `chaos` are of feature `real`, which this program was \
             built without: `cargo run --release --features real -- serve ...`"
                .to_owned(),
        )),
        #[cfg(feature = "real")]
        Some(Command::Rerun(args)) => real::rerun(services, &args, json),
    }
}

/// Whether every scenario makes sense, and each is known by a name of its own.
fn make_sense(scenarios: &[Box<dyn Runnable>]) -> Result<(), Problem> {
    let mut names = std::collections::BTreeSet::new();
    for scenario in scenarios {
        scenario.validate().map_err(Problem)?;
        if !names.insert(scenario.name()) {
            return Err(Problem(format!(
                "two scenarios are named `{}`, so the second could not be run by name; give it \
                 another `name`",
                scenario.name()
            )));
        }
    }
    Ok(())
}

fn finish(done: Result<u8, Problem>) -> ExitCode {
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Problem(message)) => {
            show::error(&message);
            ExitCode::from(2)
        }
    }
}

/// The scenario of this name, or a problem that names the nearest.
fn scenario<'a>(
    scenarios: &'a [Box<dyn Runnable>],
    name: &str,
) -> Result<&'a dyn Runnable, Problem> {
    find(scenarios, name).map_err(|near| {
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`list` shows those that there are".to_owned(),
        };
        Problem(format!("unknown scenario `{name}`; {hint}"))
    })
}

fn code_of_kind(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Safety => 1,
        FailureKind::Liveness | FailureKind::Stuck => 3,
        FailureKind::Crash => 5,
        FailureKind::Hang => 6,
        FailureKind::Nondeterminism => 7,
        FailureKind::Internal => 70,
    }
}

fn code_of_conclusion(conclusion: Conclusion<'_>) -> u8 {
    match conclusion {
        Conclusion::Passed => 0,
        Conclusion::Vacuous(_) | Conclusion::Unknown(_) => 4,
        Conclusion::Failed(failure) => code_of_kind(failure.kind),
    }
}

fn code_of_meaning(meaning: &Meaning) -> u8 {
    match meaning {
        Meaning::AsExpected => 0,
        Meaning::Vacuous(_) => 4,
        Meaning::Broken(kind) => code_of_kind(*kind),
    }
}

/// Reads a class of faults.
fn parse_class(text: &str) -> Result<Class, String> {
    let all = Class::ALL.map(Class::name);
    let known = Class::ALL.into_iter().find(|class| class.name() == text);
    known.ok_or_else(|| format!("`{text}` is not a class of faults; there are {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn spans_of_time_have_a_unit() {
        assert_eq!(parse_time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "5", "s", "0s", "-1s", "1d", "99999999999999999999h"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
