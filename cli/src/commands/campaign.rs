//! `seedfall campaign` and `cargo seedfall`: many seeds of many scenarios, in processes of their
//! own, on one machine or on many, interrupted and taken up again, with one result.
//!
//! `manifest` says what a campaign is; `source` where its scenarios are; `crew` hands seeds out to
//! workers, of which `queue` knows what is left and `fate` how they died; `store` reads what is
//! left; `earlier` tries what failed once; `outcome` says what that means, `course` when what was
//! first seen, `report` shows it.

mod auto;
mod clock;
mod course;
mod crew;
mod earlier;
mod fate;
mod known;
mod manifest;
mod merge;
#[cfg(feature = "mutants")]
mod mutants;
mod outcome;
mod pace;
mod queue;
mod report;
mod run;
mod small;
mod source;
mod starter;
mod state;
mod store;
mod submit;

use super::{Problem, finish};
use crate::clean::Row;
use clap::{Args, Parser, Subcommand};
use seedfall::run::Runnable;
use seedfall::testing::{parse_seed, parse_time};
use source::{CargoArgs, Source};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What people see of a campaign; what is not its result goes to standard error.
mod show {
    pub(super) use super::super::show::{BAD, DULL, GOOD, count, error, line, rate, styled, table};

    /// A line on standard error.
    pub(super) fn note(text: &str) {
        use std::io::Write as _;
        // Nobody is left to be told if that fails.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// A line on standard error, as a warning.
    pub(super) fn warning(text: &str) {
        note(&format!("{DULL}warning{DULL:#}: {text}"));
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 green, 1 a new kind of failure, 2 bad usage or input, 4 incomplete, or nothing proved
(vacuous, a canary not found), 7 two runs of one seed differ, 70 a bug of Seedfall itself.";

#[derive(Debug, Subcommand)]
pub(super) enum Campaign {
    /// Lists the scenarios: what runs them, what they assume, what must hold.
    List(ListArgs),
    /// Runs many seeds of every scenario, or goes on with a campaign that was interrupted.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Runs one seed again (`SCENARIO@SEED`), or a stored case (a file), and tells it.
    Replay(ReplayArgs),
    /// Puts what shards have left together: finds gaps, and compares what was run twice.
    #[command(after_help = EXIT_CODES)]
    Merge(MergeArgs),
    /// Writes the report of a campaign: a page, JUnit XML, a line for a pull request.
    Report(ReportArgs),
    /// Writes the job for a scheduler that hands shards out; hands it over, where that can be done.
    Submit(submit::SubmitArgs),
    /// Writes a small crate with a first scenario, and files for a CI.
    New(starter::NewArgs),
    /// Runs a part of a campaign, as the environment says.
    #[command(hide = true)]
    Worker {
        /// The scenario.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Scenarios and tests whose name has this.
    filter: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct RunArgs {
    /// Scenarios and tests whose name has this; without it, all.
    filter: Option<String>,
    /// The name is that of one scenario, or test, and no part of it.
    #[arg(long, requires = "filter")]
    exact: bool,
    /// How many seeds of each scenario: 500, 10k, 2m.
    #[arg(long, value_parser = parse_count, value_name = "N")]
    seeds: Option<u64>,
    /// How long, in all: 90s, 30m, 8h. With --seeds, whichever comes first.
    #[arg(long = "for", value_parser = parse_time, value_name = "TIME")]
    time: Option<Duration>,
    /// The first seed.
    #[arg(long, value_parser = parse_seed, default_value_t = 0, value_name = "SEED")]
    base: u64,
    /// Seeds that no earlier day had, from today's date on; for the night, not for pull requests.
    #[arg(long, conflicts_with = "base")]
    fresh: bool,
    /// Worker processes at a time; without it, one a core.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// A part of it: K of N, or what the scheduler says in the environment (auto).
    #[arg(long, default_value = "1/1", value_name = "K/N")]
    shard: String,
    /// The folder of the campaign; an earlier one goes on.
    #[arg(long, default_value = "target/seedfall/campaign", value_name = "FOLDER")]
    out: PathBuf,
    /// Go on with the campaign of --out as it was planned there, and build nothing.
    #[arg(long, conflicts_with_all = ["filter", "exact", "seeds", "base", "fresh", "canary"])]
    resume: bool,
    /// Start anew: whatever is in --out of a campaign is removed.
    #[arg(long, conflicts_with = "resume")]
    anew: bool,
    /// A scenario with a planted bug, which must be found (may be repeated). Those that expect a
    /// property to break need not be named.
    #[arg(long, value_name = "NAME")]
    canary: Vec<String>,
    /// A file of failures that are known: only others are red.
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// What is run, if not what the commit or the binaries say: the same in every shard.
    #[arg(long, value_name = "ID")]
    build_id: Option<String>,
    /// How long one run may take.
    #[arg(long, default_value = "5m", value_parser = parse_time, value_name = "TIME")]
    timeout: Duration,
    /// Do not make failures small.
    #[arg(long)]
    no_shrink: bool,
    /// Exit with 0 if runs failed: it is for the merge to say.
    #[arg(long)]
    exit_zero: bool,
    #[command(flatten)]
    ci: CiArgs,
}

/// What the report is beside the page.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct CiArgs {
    /// A folder of JSON files, one a campaign, which the report plots over time; this one is added.
    #[arg(long, value_name = "FOLDER")]
    history: Option<PathBuf>,
    /// Where JUnit XML is written, beside junit.xml of the report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// SCENARIO@SEED, or the file of a case.
    what: String,
}

#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// The folders of the shards, or the one that they share.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// How many shards there are.
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
    /// Where the result and the report are written; without it, the first folder.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Run what is missing, here.
    #[arg(long)]
    resume: bool,
    /// Print the numbers of the shards that something is missing of, with commas, counted from
    /// zero, as a scheduler takes them for an array; and nothing else.
    #[arg(long, requires = "expect")]
    missing: bool,
    /// A file of failures that are known: only others are red.
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    #[command(flatten)]
    ci: CiArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The folder of the campaign.
    folder: PathBuf,
    /// A file of failures that are known.
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    #[command(flatten)]
    ci: CiArgs,
}

/// `cargo seedfall`, as cargo calls it.
#[derive(Debug, Parser)]
#[command(name = "cargo", bin_name = "cargo", max_term_width = 100)]
enum Cargo {
    /// Campaigns of deterministic simulation over the tests of a crate.
    #[command(name = "seedfall", version)]
    Seedfall {
        #[command(subcommand)]
        command: OverTests,
        #[command(flatten)]
        cargo: CargoArgs,
    },
}

/// What there is over the tests of a crate.
#[derive(Debug, Subcommand)]
enum OverTests {
    #[command(flatten)]
    Campaign(Campaign),
    /// Makes small changes to the code, one by one, and counts those that the scenarios notice.
    Mutants(MutantsArgs),
}

#[derive(Debug, Default, Args)]
#[command(after_help = "\
All changes are built at once, in a copy under target/seedfall/mutants, and each is made in turn: a
statement is left out, a condition is always or never fulfilled, a comparison is the next one, `&&`
is `||`, a `+ 1` is missing. `reach` and `ignore`, which only tell, are left alone. A change that no
scenario notices is missed: no property is about it, or the runs are too few. Code that no run comes
by is told apart. Scenarios that expect a property to break are not asked; programs in the simulated
Linux are none of those that can be changed.

Exit codes: 0 every mutant that some run comes by was noticed, 2 bad usage or input, 4 some were
missed.

Examples:
  cargo seedfall mutants --release --file src/raft
  cargo seedfall mutants --release --sample 200 --seeds 5000
  cargo seedfall mutants --list")]
struct MutantsArgs {
    /// Only files whose path has this (may be repeated).
    #[arg(long, value_name = "PART")]
    file: Vec<String>,
    /// No file whose path has this, as those of monitors (may be repeated).
    #[arg(long, value_name = "PART")]
    except: Vec<String>,
    /// Only this scenario judges (may be repeated); without it, all that should hold.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// The scenarios are those of this program, by `seedfall_cli::main`, not those of tests.
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// How many seeds of each scenario, at most.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    seeds: u64,
    /// Only so many mutants, spread evenly.
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroUsize>,
    /// How many are tried at a time; without it, one a core.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Only say which mutants there are.
    #[arg(long)]
    list: bool,
    /// Print JSON, for machines.
    #[arg(long)]
    json: bool,
}

#[cfg(not(feature = "mutants"))]
mod mutants {
    use super::{CargoArgs, MutantsArgs, Problem};

    pub(super) fn mutants(_: &CargoArgs, _: &MutantsArgs) -> Result<u8, Problem> {
        let expected = "cargo install --bin cargo-seedfall seedfall-cli --features mutants";
        Err(Problem(format!("this build of cargo-seedfall has no mutants; expected `{expected}`")))
    }
}

/// `cargo seedfall`: campaigns over the scenarios in the tests of any crate.
pub fn cargo_main() -> ExitCode {
    let Cargo::Seedfall { command, cargo } = Cargo::parse();
    finish(super::quietly(|| match &command {
        OverTests::Campaign(command) => campaign(Source::Cargo(&cargo), command, false),
        OverTests::Mutants(args) => mutants::mutants(&cargo, args),
    }))
}

/// `campaign`, over the scenarios of this program.
pub(super) fn builtin(
    scenarios: &[Box<dyn Runnable>],
    command: &Campaign,
    json: bool,
) -> Result<u8, Problem> {
    campaign(Source::Builtin(scenarios), command, json)
}

/// The scenarios that a campaign of this program ran without a failure, for [`crate::clean`].
pub(super) fn clean(
    scenarios: &[Box<dyn Runnable>],
    folder: &Path,
    witnesses: &BTreeMap<&str, String>,
) -> Result<Vec<Row>, Problem> {
    let source = Source::Builtin(scenarios);
    let manifest = manifest::Manifest::read(folder)?
        .ok_or_else(|| Problem(format!("{}: no campaign is in it", folder.display())))?;
    let (build, _) = source.build(&source.targets()?, None)?;
    if build != manifest.build {
        return Err(Problem(format!(
            "{}: run by {}, and this is {build}: only the program that ran a campaign knows \
             whether its runs are still the same",
            folder.display(),
            manifest.build
        )));
    }
    let outcome = outcome::Outcome::read(folder)?;
    let rows = outcome.scenarios.into_iter().filter_map(|(scenario, one)| {
        let witness = witnesses.get(scenario.as_str())?.clone();
        let clean = one.runs.failed == 0 && one.runs.killed == 0 && one.runs.runs() > 0;
        clean.then(|| Row {
            ran: one.ran,
            undecided: one.runs.unknown,
            vacuous: one.runs.vacuous,
            commit: manifest.commit.clone(),
            witness,
            scenario,
        })
    });
    Ok(rows.collect())
}

fn campaign(source: Source<'_>, command: &Campaign, json: bool) -> Result<u8, Problem> {
    match command {
        Campaign::List(args) => run::list(source, args, json),
        Campaign::Run(args) => run::run(source, args, json),
        Campaign::Replay(args) => run::replay(source, args),
        Campaign::Merge(args) => merge::merge(source, args, json),
        Campaign::Report(args) => merge::report(args, json),
        Campaign::Submit(args) => submit::submit(source, args),
        Campaign::New(args) => starter::new(args),
        Campaign::Worker { name } => run::worker(source, name),
    }
}

/// Reads a number with `k`, `m` or `g` for thousands, millions and billions.
fn parse_count(text: &str) -> Result<u64, String> {
    let plain = text.replace(['_', ','], "");
    let split = plain.find(|c: char| !c.is_ascii_digit()).unwrap_or(plain.len());
    let (digits, unit) = plain.split_at(split);
    let unit = match unit {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        _ => 0,
    };
    let count: Option<u64> = digits.parse().ok().and_then(|count: u64| count.checked_mul(unit));
    count
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("`{text}` is not a number of seeds; expected 500, 10k, 2m"))
}

/// Asks the environment.
fn ask(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "schedulers and CIs say so; no run sees it")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
