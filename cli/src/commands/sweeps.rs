//! `seedfall` and `seedfall sweep`.

use super::{Problem, SweepArgs, code_of_meaning, explain, families, scenario, show};
use indicatif::{ProgressBar, ProgressStyle};
use seedfall::case::Case;
use seedfall::report::Failure;
use seedfall::run::{Runnable, Trial};
use seedfall::scenario::Expectation;
use seedfall::shrink::{DEFAULT_RUNS, Effort, Shrunk, alike, shrink_best};
use seedfall::sweep::{Limits, Meaning, Summary, Sweep, all_cores, sweep as run_sweep};
use seedfall::words::{count, counted};
use std::iter::once;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many seeds a scenario that expects something to break is given, one number after the other,
/// where all are swept for a time and it had too little of it.
const CONTROL: [u64; 3] = [128, 512, 1_024];

/// How long the main job takes, in all.
const MAIN_JOB: Duration = Duration::from_secs(20);

/// The main job: every scenario, for about twenty seconds in all.
pub(super) fn everything(scenarios: &[Box<dyn Runnable>], json: bool) -> Result<u8, Problem> {
    let args = SweepArgs {
        name: None,
        seeds: None,
        time: None,
        jobs: None,
        keep_going: false,
        without: Vec::new(),
        under: None,
        save_to: PathBuf::from("target/seedfall"),
        no_shrink: false,
    };
    swept(scenarios, &args, json, families::FROM <= scenarios.len())
}

/// Sweeps one scenario or all, shows the table, and keeps what failed.
pub(super) fn sweep(
    scenarios: &[Box<dyn Runnable>],
    args: &SweepArgs,
    json: bool,
) -> Result<u8, Problem> {
    swept(scenarios, args, json, false)
}

fn swept(
    scenarios: &[Box<dyn Runnable>],
    args: &SweepArgs,
    json: bool,
    by_family: bool,
) -> Result<u8, Problem> {
    let chosen: Vec<&dyn Runnable> = match &args.name {
        Some(name) => vec![scenario(scenarios, name)?],
        None => scenarios.iter().map(AsRef::as_ref).collect(),
    };
    if chosen.is_empty() {
        return Err(Problem("there is no scenario to sweep".to_owned()));
    }
    // A run that panics is a verdict, told in the table; its backtrace would tear the progress bar.
    let all_of_it = args.time.or(args.seeds.is_none().then_some(MAIN_JOB));
    let mut swept = Vec::new();
    for (index, scenario) in chosen.iter().enumerate() {
        let took: Duration = swept.iter().map(|(_, summary, _): &Swept<'_>| summary.took).sum();
        let left = (chosen.len() - index) as u32;
        let time = all_of_it.map(|all| all.saturating_sub(took) / left);
        let (mut summary, mut meaning) = one(*scenario, args, time, json);
        // What a slow machine had no time for does not make a control too weak.
        let is_control = args.seeds.is_none() && scenario.expect() != Expectation::Holds;
        let mut tries = CONTROL.into_iter().filter(|_| is_control && chosen.len() > 1);
        while let (Meaning::Vacuous(_), Some(seeds)) = (&meaning, tries.next()) {
            let args = SweepArgs { seeds: Some(0..seeds), ..args.clone() };
            (summary, meaning) = one(*scenario, &args, None, json);
        }
        swept.push((*scenario, summary, meaning));
    }
    if json {
        for (scenario, summary, meaning) in &swept {
            show::json(&show::sweep_json(*scenario, summary, meaning));
        }
    } else {
        tell(&swept, by_family);
    }
    for (scenario, summary, meaning) in &swept {
        let Some(failure) = summary.first_failure() else { continue };
        // A control that behaves as it should has a story too, but nobody waits for it.
        let asked =
            !args.no_shrink && (args.name.is_some() || !matches!(meaning, Meaning::AsExpected));
        // Whatever replays a seed draws the faults of the scenario's own model, all of them.
        let own_faults = args.without.is_empty() && args.under.is_none();
        if asked && own_faults {
            keep_all(*scenario, summary, failure, &args.save_to, json)?;
        } else if !json && (swept.len() == 1 || !matches!(meaning, Meaning::AsExpected)) {
            let (name, seed) = (scenario.name(), failure.seed.0);
            let (_, words) = show::verdict(*scenario, summary, meaning);
            let how = if own_faults {
                format!("`explain {name} --seed {seed}` shows it")
            } else {
                format!("`{}` finds it again", failure.replay)
            };
            show::line(&format!("{name}: {words}; {how}"));
        }
    }
    Ok(swept
        .iter()
        .map(|(.., meaning)| code_of_meaning(meaning))
        .find(|code| *code > 0)
        .unwrap_or(0))
}

type Swept<'a> = (&'a dyn Runnable, Summary, Meaning);

fn one(
    scenario: &dyn Runnable,
    args: &SweepArgs,
    time: Option<Duration>,
    json: bool,
) -> (Summary, Meaning) {
    let seeds: Range<u64> = args.seeds.clone().unwrap_or(0..u64::MAX);
    let bar = progress_bar(scenario.name(), &seeds, time, json);
    let plan = Sweep {
        seeds,
        part_of: None,
        time,
        jobs: args.jobs.unwrap_or_else(all_cores),
        keep_going: args.keep_going,
        model: args.under,
        without: args.without.clone(),
        limits: Limits::DEFAULT,
    };
    let by_time = bar.length().is_some() && time.is_some() && args.seeds.is_none();
    let summary = run_sweep(scenario, &plan, &|progress| {
        if by_time {
            bar.set_position(bar.elapsed().as_millis() as u64);
        } else {
            bar.inc(progress.seeds);
        }
        bar.set_message(match &progress.slow {
            Some((seed, doing, since)) => {
                format!("{}: seed {seed}: {doing}, for {} s", scenario.name(), since.as_secs())
            }
            None => scenario.name().to_owned(),
        });
    });
    bar.finish_and_clear();
    let meaning = summary.meaning(scenario);
    (summary, meaning)
}

/// A bar over the seeds if they are counted, else over the time; hidden where there is no terminal.
pub(super) fn progress_bar(
    name: &'static str,
    seeds: &Range<u64>,
    time: Option<Duration>,
    hidden: bool,
) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let counted = seeds.end < u64::MAX;
    let (length, unit) = match time {
        Some(time) if !counted => (time.as_millis() as u64, "{elapsed_precise}"),
        _ => (seeds.end - seeds.start, "{human_pos}/{human_len} seeds, {eta} left"),
    };
    let bar = ProgressBar::new(length).with_message(name);
    match ProgressStyle::with_template(&format!("{{msg:24}} {{wide_bar}} {unit}")) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn tell(swept: &[Swept<'_>], by_family: bool) {
    if by_family {
        families::tell(swept);
    } else {
        let rows =
            swept.iter().map(|(scenario, summary, meaning)| show::row(*scenario, summary, meaning));
        show::raw(&show::sweep_table(rows));
        show::line("");
    }
    for (scenario, summary, meaning) in swept {
        let alone = swept.len() == 1;
        if alone {
            show::line(&show::details(*scenario, summary));
        } else if !matches!(meaning, Meaning::AsExpected) || summary.unknown > 0 {
            show::line(scenario.name());
            show::remarks(summary).iter().for_each(|remark| show::line(remark));
        }
        if let Meaning::Vacuous(why) = meaning {
            show::line(&format!("  vacuous    {why}"));
        }
        ways(summary);
    }
    if !by_family {
        legend(swept);
    }
}

/// What the columns mean, and what a sweep without a failure does.
fn legend(swept: &[Swept<'_>]) {
    if swept.len() > 1 {
        show::line(
            "faults, sometimes: how many classes had an effect, and how many states were reached, \
             of those that there are; `sweep NAME` shows each. as expected: a scenario that must \
             fail, or block, does; `explain NAME --seed N` shows how.",
        );
    }
    let bounded = |(scenario, summary, meaning): &Swept<'_>| {
        !show::bound(*scenario, summary, meaning).is_empty()
    };
    if swept.iter().any(bounded) {
        show::line(
            "fail below: no seed failed, so fewer than this share do, with 95 % confidence (the \
             rule of three), under these faults and this workload; of faults that were not drawn \
             it says nothing.",
        );
    }
}

/// In which ways runs failed, if they did in more than one.
fn ways(summary: &Summary) {
    if summary.failed < 2 {
        return;
    }
    let ways = counted(summary.ways.len() as u64, "way");
    let seeds = counted(summary.seeds, "seed");
    show::line(&format!("  failed     {} of {seeds}, in {ways}:", count(summary.failed)));
    for (fingerprint, (runs, best)) in &summary.ways {
        let (runs, seed) = (counted(*runs, "run"), best.seed.0);
        show::line(&format!("             {runs}, best seen at seed {seed}: {fingerprint}"));
    }
}

/// How long a sweep works on making a failing run small, at most.
pub(super) const SHRINK_TIME: Duration = Duration::from_secs(30);

/// How many further seeds that fail in the same way are made small, if the first does not become
/// so.
const FURTHER: usize = 3;

/// How long those are looked for, at most.
pub(super) const LOOK_TIME: Duration = Duration::from_secs(5);

/// In how many ways of failing runs are made small and kept, at most.
const WAYS_MOST: usize = 8;

/// Keeps one run of each way of failing, the first told with its story.
fn keep_all(
    scenario: &dyn Runnable,
    summary: &Summary,
    first: &Failure,
    folder: &Path,
    json: bool,
) -> Result<(), Problem> {
    keep(scenario, first, folder, json, true)?;
    let mut others: Vec<&Failure> = summary
        .ways
        .values()
        .map(|(_, other)| other)
        .filter(|other| other.fingerprint != first.fingerprint)
        .collect();
    others.sort_by_key(|other| other.seed);
    for other in others.iter().take(WAYS_MOST - 1) {
        keep(scenario, other, folder, json, false)?;
    }
    if let Some(left) = others.len().checked_sub(WAYS_MOST).filter(|_| !json) {
        let left = counted(left as u64 + 1, "further way");
        show::line(&format!("  not kept   {left} of failing: `replay NAME --seed N` shows each"));
    }
    Ok(())
}

/// Makes a failing run small, and keeps it as a case; tells its story, or only where it is.
fn keep(
    scenario: &dyn Runnable,
    failure: &Failure,
    folder: &Path,
    json: bool,
    with_story: bool,
) -> Result<(), Problem> {
    if !failure.kind.can_be_shrunk() {
        if !json {
            show::line("");
            show::failure(failure);
        }
        return Ok(());
    }
    let effort = Effort { time: Some(SHRINK_TIME), ..Effort::runs(DEFAULT_RUNS) };
    let first = Trial::of(failure.seed);
    let further = if with_story { FURTHER } else { 0 };
    let further = alike(scenario, &first, further, LOOK_TIME, effort.jobs);
    let shrunk = shrink_best(scenario, once(first.clone()).chain(further), &effort);
    let shrunk = shrunk.ok_or_else(|| {
        Problem("two runs of one seed differ: the protocol is not a value".into())
    })?;
    let told = if with_story { None } else { Some(failure.fingerprint.as_str()) };
    keep_small(scenario, &shrunk, folder, json, told)
}

/// Keeps a run that was made small as a case; tells its story, or, in these words, where it is.
pub(super) fn keep_small(
    scenario: &dyn Runnable,
    shrunk: &Shrunk,
    folder: &Path,
    json: bool,
    told: Option<&str>,
) -> Result<(), Problem> {
    let path = folder.join(format!("{}-{}.json", scenario.name(), shrunk.report.seed.0));
    Case::of(&shrunk.trial, &shrunk.report, "").save(&path)?;
    let report = explain::keep(scenario, shrunk, &path)?;
    if json {
        return Ok(());
    }
    show::line("");
    match told {
        None => show::story(shrunk, Some(&path)),
        Some(words) => {
            show::line(words);
            show::line(&format!("  shrunk to  {}", shrunk.summary()));
        }
    }
    show::line(&format!("  kept in    {}", path.display()));
    show::line(&format!("  report     {}", report.display()));
    Ok(())
}
