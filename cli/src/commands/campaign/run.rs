//! `run`, `list`, `replay`, and what a worker of built-in scenarios does.

use super::auto;
use super::crew::{Crew, Plan, command};
use super::known::{Known, line};
use super::manifest::{Manifest, Target};
use super::merge::tell;
use super::outcome::{Judged, Outcome};
use super::source::Source;
use super::store::Book;
use super::{ListArgs, Problem, ReplayArgs, RunArgs, ask, clock, earlier, report, show, small};
use seedfall::campaign::{DEFAULT_SEEDS, Shard, work_alone};
use seedfall::sweep::all_cores;
use seedfall::words::{count, counted};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Stdio;

/// The scenarios whose name, or whose test's name, has the words of a filter, or is them.
fn filtered(
    targets: Vec<Target>,
    filter: Option<&str>,
    exact: bool,
) -> Result<Vec<Target>, Problem> {
    let names: Vec<String> = targets.iter().map(|one| one.about.scenario.clone()).collect();
    let Some(filter) = filter else {
        return match targets.is_empty() {
            true => Err(Problem(
                "there is no scenario: no test calls `seedfall::check`; `cargo seedfall new NAME` \
                 writes a crate with one"
                    .to_owned(),
            )),
            false => Ok(targets),
        };
    };
    let fits = |name: &str| if exact { name == filter } else { name.contains(filter) };
    let has = |one: &Target| fits(&one.about.scenario) || fits(&one.about.test);
    let chosen: Vec<Target> = targets.into_iter().filter(has).collect();
    if chosen.is_empty() {
        let names = names.join(", ");
        let what = match exact {
            true => format!("is named `{filter}`"),
            false => format!("has `{filter}` in its name"),
        };
        return Err(Problem(format!("no scenario {what}; there are {names}")));
    }
    Ok(chosen)
}

/// `list`.
pub(super) fn list(source: Source<'_>, args: &ListArgs, json: bool) -> Result<u8, Problem> {
    let targets = filtered(source.targets()?, args.filter.as_deref(), false)?;
    if json {
        for target in &targets {
            show::line(&serde_json::to_string(&target.about)?);
        }
        return Ok(0);
    }
    let mut table = show::table(&["scenario", "model", "properties", "expected", "test"], &[2]);
    for Target { about, of, .. } in &targets {
        let expected = match (about.breaks.first(), about.blocks) {
            (None, _) => "holds".to_owned(),
            (Some(name), false) => format!("breaks {name}"),
            (Some(name), true) => format!("waits: {name}"),
        };
        let test = if of.is_empty() { String::new() } else { format!("{of} {}", about.test) };
        let properties = about.properties.len().to_string();
        table.add_row([about.scenario.clone(), about.model.clone(), properties, expected, test]);
    }
    show::line(&table.to_string());
    show::line(&counted(targets.len() as u64, "scenario"));
    Ok(0)
}

/// `run`.
pub(super) fn run(source: Source<'_>, args: &RunArgs, json: bool) -> Result<u8, Problem> {
    let shard = auto::shard(&args.shard, &ask).map_err(Problem)?;
    let manifest = planned(source, args)?;
    let known = Known::read(args.known.as_deref())?;
    let out = std::path::absolute(&args.out)?;
    let (book, _) = Book::read(std::slice::from_ref(&out), Some(&manifest))?;
    book.tell();
    let before: u64 = book.all().map(seedfall::campaign::Runs::runs).sum();
    if before > 0 && !json {
        show::note(&format!("goes on: {} are there", counted(before, "run")));
    }
    let plan = Plan {
        out: out.clone(),
        shard,
        jobs: args.jobs.unwrap_or_else(all_cores).get(),
        time: args.time,
        patience: args.timeout,
        quiet: json,
    };
    let failing = earlier::failing(&out);
    if shard.index == 1 {
        earlier::again(&manifest, &failing, &out, args.timeout)?;
    }
    Crew::run(&manifest, &plan, &book, &failing)?;
    finish(source, args, &manifest, (&out, shard), &known, json)
}

/// Says what came of it all, from what stands in the folder and nothing else.
fn finish(
    source: Source<'_>,
    args: &RunArgs,
    manifest: &Manifest,
    (out, shard): (&Path, Shard),
    known: &Known,
    json: bool,
) -> Result<u8, Problem> {
    let folders = [out.to_owned()];
    let (book, _) = Book::read(&folders, Some(manifest))?;
    book.tell();
    let outcome = Outcome::of(manifest, &book);
    earlier::remember(&outcome, out)?;
    if !args.no_shrink {
        small::make(manifest, &outcome, out, source.replay())?;
    }
    let judged = Judged::new(manifest.clone(), book, shard, &folders, known);
    if shard != Shard::WHOLE {
        return Ok(tell_shard(&judged, shard, args.exit_zero));
    }
    judged.outcome.save(out)?;
    let page = report::write(&judged, &folders, out, &args.ci)?;
    tell(&judged, &page, json)?;
    Ok(if args.exit_zero { 0 } else { judged.code() })
}

/// Says what came of one shard: the others may not be there yet, and the merge judges them all.
fn tell_shard(judged: &Judged, shard: Shard, exit_zero: bool) -> u8 {
    let kinds = counted(judged.new.len() as u64, "new kind");
    let gaps: u64 = judged.gaps.iter().map(|(_, range)| range.end - range.start).sum();
    let missing = counted(gaps, "run");
    show::line(&format!("shard {shard}: {kinds} of failures in the folder, {missing} missing"));
    match judged.code() {
        _ if exit_zero => 0,
        4 if gaps == 0 => 0,
        code => code,
    }
}

/// The campaign of the arguments, begun or gone on with.
pub(super) fn planned(source: Source<'_>, args: &RunArgs) -> Result<Manifest, Problem> {
    if args.resume {
        let there = Manifest::read(&args.out)?;
        return there.ok_or_else(|| {
            Problem(format!("{}: expected the folder of a campaign", args.out.display()))
        });
    }
    if args.anew {
        remove(&args.out)?;
    }
    let targets = filtered(source.targets()?, args.filter.as_deref(), args.exact)?;
    for name in &args.canary {
        if !targets.iter().any(|target| target.about.scenario == *name) {
            let names: Vec<&str> = targets.iter().map(|one| one.about.scenario.as_str()).collect();
            let names = names.join(", ");
            return Err(Problem(format!("--canary {name}: no such scenario; there are {names}")));
        }
    }
    let build = source.build(&targets, args.build_id.as_deref())?;
    let base = if args.fresh { fresh(&args.out)? } else { args.base };
    let seeds = args.seeds.or(args.time.is_none().then_some(DEFAULT_SEEDS));
    if base.checked_add(seeds.unwrap_or(1 << 60)).is_none() {
        return Err(Problem(format!("--base {base}: the seeds end beyond 2^64 - 1")));
    }
    let mut canaries = args.canary.clone();
    canaries.sort();
    canaries.dedup();
    let manifest = Manifest::new(targets, build, (base, seeds), canaries);
    manifest.begin(&std::path::absolute(&args.out)?)
}

/// The first of the day's seeds; a campaign that goes on after midnight keeps those of its day.
fn fresh(out: &Path) -> Result<u64, Problem> {
    let earlier = Manifest::read(out)?.map(|manifest| manifest.from).filter(|from| *from > 0);
    // As many as nobody runs in a day.
    Ok(earlier.unwrap_or_else(|| clock::date_of(clock::unix_now()) * 100_000_000_000))
}

/// Removes what campaigns leave in a folder, and nothing else.
fn remove(out: &Path) -> Result<(), Problem> {
    if Manifest::read(out)?.is_none() {
        return Ok(());
    }
    for name in ["parts", "shards", small::FOLDER, earlier::FOLDER] {
        let path = out.join(name);
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        }
    }
    fs::remove_file(out.join("campaign.json"))?;
    Ok(())
}

/// `replay`.
pub(super) fn replay(source: Source<'_>, args: &ReplayArgs) -> Result<u8, Problem> {
    let what = &args.what;
    let (scenario, variable, value) = match what.rsplit_once('@') {
        Some((scenario, seed)) if seedfall::testing::parse_seed(seed).is_ok() => {
            (scenario.to_owned(), "SEEDFALL_SEED", seed.to_owned())
        }
        _ => {
            let path = std::path::absolute(what)?;
            let text = fs::read_to_string(&path).map_err(|error| {
                Problem(format!("{what}: {error}; expected SCENARIO@SEED, or the file of a case"))
            })?;
            let case: serde_json::Value = serde_json::from_str(&text)
                .map_err(|error| Problem(format!("{what}: not a case: {error}")))?;
            let scenario = case["scenario"].as_str().unwrap_or_default().to_owned();
            (scenario, "SEEDFALL_CASE", path.display().to_string())
        }
    };
    let targets = source.targets()?;
    let named = |one: &&Target| one.about.scenario == scenario || one.about.test == scenario;
    let Some(target) = targets.iter().find(named) else {
        let names: Vec<&str> = targets.iter().map(|one| one.about.scenario.as_str()).collect();
        let names = names.join(", ");
        return Err(Problem(format!("no scenario or test `{scenario}`; there are {names}")));
    };
    let mut command = command(target, "");
    command.env(variable, value).env_remove("SEEDFALL_BUILD");
    if matches!(source, Source::Cargo(_)) {
        command.arg("--nocapture");
    }
    let status = command.stdin(Stdio::null()).status()?;
    Ok(match status.code() {
        Some(0) => {
            show::note(&format!("{what}: as expected"));
            0
        }
        Some(2) => 2,
        _ => 1,
    })
}

/// What a worker of a built-in scenario does.
pub(super) fn worker(source: Source<'_>, name: &str) -> Result<u8, Problem> {
    let Source::Builtin(scenarios) = source else {
        return Err(Problem("the tests of the crate are the workers".to_owned()));
    };
    let scenario = super::super::scenario(scenarios, name)?;
    if let Some(path) = ask("SEEDFALL_CASE") {
        seedfall::testing::check_case(scenarios, Path::new(&path)).map_err(Problem)?;
        show::line(&format!("{path}: replays as it is stored, and breaks nothing"));
        return Ok(0);
    }
    if let Some(seed) = ask("SEEDFALL_SEED") {
        let seed = seedfall::testing::parse_seed(&seed)?;
        return match seedfall::testing::check_seed(scenario, seed) {
            Ok(()) => {
                show::line(&format!("{name}: seed {seed} is as expected"));
                Ok(0)
            }
            Err(why) => {
                show::line(&why);
                Ok(1)
            }
        };
    }
    work_alone(scenario, &ask).map_err(Problem)?;
    Ok(0)
}

/// The lines to add to a file of known failures.
pub(super) fn to_be_known(judged: &Judged) -> Vec<String> {
    judged.new.iter().map(|(scenario, print)| line(scenario, print)).collect()
}

/// How many processes at a time, where nobody says.
pub(super) fn usual_jobs() -> NonZeroUsize {
    all_cores()
}

/// The summary of a campaign as a line: how much was run.
pub(super) fn amount(outcome: &Outcome) -> String {
    let events = count(outcome.sum(|runs| runs.events));
    format!("{}, {events} events", counted(outcome.sum(seedfall::campaign::Runs::runs), "run"))
}
