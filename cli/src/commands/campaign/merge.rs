//! `merge` and `report`: what shards have left, put together and told.

use super::crew::{Crew, Plan};
use super::earlier::Still;
use super::known::Known;
use super::manifest::Manifest;
use super::outcome::{GAPS_TOLD, Judged, One, Outcome, Verdict};
use super::run::{amount, to_be_known, usual_jobs};
use super::source::Source;
use super::state::State;
use super::store::Book;
use super::{MergeArgs, Problem, ReportArgs, report, show};
use seedfall::campaign::{Shard, corpus};
use seedfall::words::{count, counted};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The one campaign of several folders; `None`, if none of them says which.
fn campaign(folders: &[PathBuf]) -> Result<Option<Manifest>, Problem> {
    let mut one: Option<(PathBuf, Manifest)> = None;
    for folder in folders {
        let Some(manifest) = Manifest::read(folder)? else { continue };
        match &one {
            Some((first, known)) => known.is_same(&manifest).map_err(|why| {
                let (folder, first) = (folder.display(), first.display());
                Problem(format!("{folder}: another campaign than {first}: {why}"))
            })?,
            None => one = Some((folder.clone(), manifest)),
        }
    }
    Ok(one.map(|(_, manifest)| manifest))
}

/// `merge`.
pub(super) fn merge(source: Source<'_>, args: &MergeArgs, json: bool) -> Result<u8, Problem> {
    let manifest = campaign(&args.folders)?;
    let out = args.out.as_deref().unwrap_or(&args.folders[0]);
    let (book, manifest) = Book::read(&args.folders, manifest.as_ref())?;
    if args.missing {
        let of = args.expect.and_then(NonZeroU64::new).unwrap_or(NonZeroU64::MIN);
        let missing = shards_with_gaps(&manifest, &book, of);
        let zero_based: Vec<String> =
            missing.iter().map(|shard| (shard.index - 1).to_string()).collect();
        show::line(&zero_based.join(","));
        return Ok(if missing.is_empty() { 0 } else { 4 });
    }
    let known = Known::read(args.known.as_deref())?;
    book.tell();
    if book.doubled > 0 && !json {
        let doubled = counted(book.doubled, "run");
        show::note(&format!("{doubled} done by more than one worker, counted once"));
    }
    if let (Some(of), false) = (args.expect.and_then(NonZeroU64::new), json) {
        tell_shards(&manifest, &book, of, &State::all(&args.folders));
    }
    put_together(&args.folders, out)?;
    let (book, folders) = if args.resume && !book.gaps(&manifest, Shard::WHOLE).is_empty() {
        go_on(source, args, &manifest, &book, out)?
    } else {
        (book, args.folders.clone())
    };
    let judged = Judged::new(manifest, book, Shard::WHOLE, &folders, &known);
    judged.outcome.save(out)?;
    let page = report::write(&judged, &folders, out, &args.ci)?;
    tell(&judged, &page, json)?;
    Ok(judged.code())
}

/// Puts what a guided search has kept in each folder together.
fn put_together(folders: &[PathBuf], out: &Path) -> Result<(), Problem> {
    for folder in folders.iter().filter(|folder| folder.as_path() != out) {
        let merged = corpus::merge(folder, out)
            .map_err(|error| Problem(format!("{}/corpus: {error}", folder.display())))?;
        for path in merged.wrong.iter().take(GAPS_TOLD) {
            show::warning(&format!("{}: it is not what its name says", path.display()));
        }
    }
    Ok(())
}

/// Runs what is missing, here.
fn go_on(
    source: Source<'_>,
    args: &MergeArgs,
    manifest: &Manifest,
    book: &Book,
    out: &Path,
) -> Result<(Book, Vec<PathBuf>), Problem> {
    let out = std::path::absolute(out)?;
    let mut manifest = manifest.clone();
    let all_there = manifest.scenarios.iter().all(|target| target.program.is_file());
    if !all_there {
        let targets = source.targets()?;
        let build = source.build(&targets, None)?;
        if build.0 != manifest.build {
            let Manifest { build: was, .. } = &manifest;
            return Err(Problem(format!(
                "the campaign is of {was}, and this is {}: what it says does not count there; \
                 expected the same commit without changes, or the same binaries",
                build.0
            )));
        }
        let has = |name: &str| targets.iter().any(|one| one.about.scenario == name);
        manifest.scenarios = targets
            .iter()
            .filter(|one| manifest.about(&one.about.scenario).is_some())
            .cloned()
            .collect();
        if let Some(name) = manifest.names().find(|name| !has(name)) {
            return Err(Problem(format!("no test has the scenario `{name}` any more")));
        }
    }
    let plan = Plan {
        out: out.clone(),
        shard: Shard::WHOLE,
        jobs: usual_jobs().get(),
        time: None,
        patience: Duration::from_secs(300),
        quiet: false,
    };
    Crew::run(&manifest, &plan, book, &BTreeMap::new())?;
    let mut folders = args.folders.clone();
    if !folders.iter().any(|one| std::path::absolute(one).is_ok_and(|one| one == out)) {
        folders.push(out);
    }
    let (book, _) = Book::read(&folders, Some(&manifest))?;
    Ok((book, folders))
}

/// The shards of which something is missing.
fn shards_with_gaps(manifest: &Manifest, book: &Book, of: NonZeroU64) -> Vec<Shard> {
    let all = (1..=of.get()).map(|index| Shard { index, of });
    all.filter(|shard| !book.gaps(manifest, *shard).is_empty()).collect()
}

/// The shards of which something is missing in a folder.
pub(super) fn missing_shards(
    manifest: &Manifest,
    folder: &Path,
    of: NonZeroU64,
) -> Result<Vec<Shard>, Problem> {
    let (book, _) = Book::read(&[folder.to_owned()], Some(manifest))?;
    if manifest.seeds.is_none() {
        return Ok((1..=of.get()).map(|index| Shard { index, of }).collect());
    }
    Ok(shards_with_gaps(manifest, &book, of))
}

/// Says of each shard that is not whole whether somebody is at work on it.
fn tell_shards(manifest: &Manifest, book: &Book, of: NonZeroU64, states: &[(State, Duration)]) {
    let mut told = 0;
    for shard in shards_with_gaps(manifest, book, of) {
        let seeds: u64 =
            book.gaps(manifest, shard).iter().map(|(_, range)| range.end - range.start).sum();
        let name = shard.to_string();
        let attempts = states.iter().filter(|(state, _)| state.shard == name);
        let last = attempts.min_by_key(|(_, since)| *since);
        let how = match last {
            None => "nobody has begun it".to_owned(),
            Some((state, since)) if *since < State::DEAD => {
                format!("at work on {} ({} s ago)", state.host, since.as_secs())
            }
            Some((state, since)) => {
                let (host, seconds) = (&state.host, since.as_secs());
                format!("presumed dead: no sign from {host} for {seconds} s")
            }
        };
        told += 1;
        if told <= GAPS_TOLD {
            show::warning(&format!("shard {name}: {} missing; {how}", counted(seeds, "run")));
        }
    }
    if GAPS_TOLD < told {
        show::warning(&format!("{} are not whole", counted(told as u64, "shard")));
    }
}

/// `report`.
pub(super) fn report(args: &ReportArgs, json: bool) -> Result<u8, Problem> {
    let folders = [args.folder.clone()];
    let manifest = Manifest::read(&args.folder)?;
    let (book, manifest) = Book::read(&folders, manifest.as_ref())?;
    let known = Known::read(args.known.as_deref())?;
    book.tell();
    let judged = Judged::new(manifest, book, Shard::WHOLE, &folders, &known);
    judged.outcome.save(&args.folder)?;
    let page = report::write(&judged, &folders, &args.folder, &args.ci)?;
    tell(&judged, &page, json)?;
    Ok(judged.code())
}

/// Tells what a campaign came to.
pub(super) fn tell(judged: &Judged, page: &Path, json: bool) -> Result<(), Problem> {
    if json {
        let value = serde_json::json!({
            "code": judged.code(),
            "word": judged.word().0,
            "why": judged.word().1,
            "proof": judged.proof(),
            "report": page,
            "new": to_be_known(judged),
            "gaps": judged.gaps.len(),
            "result": judged.outcome,
        });
        show::line(&value.to_string());
        return Ok(());
    }
    show::line(&table(&judged.outcome).to_string());
    show::line(&amount(&judged.outcome));
    for (scenario, print, group) in judged.outcome.groups().take(GAPS_TOLD) {
        let known = !judged.new.iter().any(|(one, other)| one == scenario && other == print);
        let word = if known { "known" } else { "new" };
        let runs = counted(group.runs, "run");
        show::line(&format!("  {word:<8} {scenario}@{} {print} ({runs})", group.seed));
        show::line(&format!("           {}", group.told.replace('\n', " ")));
    }
    let kinds = judged.outcome.groups().count();
    if GAPS_TOLD < kinds {
        show::line(&format!("  and {} more", counted((kinds - GAPS_TOLD) as u64, "kind")));
    }
    if !judged.new.is_empty() && judged.new.len() <= GAPS_TOLD {
        show::line("  to make them known, add to the file of --known:");
        let lines: BTreeSet<String> = to_be_known(judged).into_iter().collect();
        lines.iter().for_each(|line| show::line(&format!("    {line}")));
    }
    for Still { scenario, seed, print } in &judged.still {
        show::line(&format!("  still    {scenario}@{seed} failed earlier, and does: {print}"));
    }
    judged.incidents.iter().for_each(|what| show::warning(what));
    let (word, why) = judged.word();
    let style = match judged.code() {
        0 => show::GOOD,
        4 => show::DULL,
        _ => show::BAD,
    };
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    show::line(&format!("{}{why}", show::styled(style, word)));
    show::line(&format!("report  {}", page.display()));
    show::line(&judged.proof());
    Ok(())
}

fn table(outcome: &Outcome) -> comfy_table::Table {
    let header = ["scenario", "seeds", "events", "faults fired", "sometimes", "failed", "verdict"];
    let mut table = show::table(&header, &[1, 2, 5]);
    for (name, one) in &outcome.scenarios {
        let One { about, runs, .. } = one;
        let fired = runs.fired.values().filter(|(_, fired)| *fired > 0).count();
        let reached = about.sometimes.iter().filter(|mark| runs.marks.contains_key(*mark)).count();
        table.add_row([
            name.clone(),
            count(runs.runs()),
            count(runs.events),
            format!("{fired} of {} classes", runs.fired.len()),
            format!("{reached} of {}", about.sometimes.len()),
            count(runs.failed),
            verdict(one),
        ]);
    }
    table
}

fn verdict(one: &One) -> String {
    let style = match one.verdict {
        Verdict::Good => show::GOOD,
        Verdict::Failed => show::BAD,
        Verdict::Vacuous(_) | Verdict::NotRun => show::DULL,
    };
    show::styled(style, &title(one))
}

/// The verdict of a scenario in a few words.
pub(super) fn title(one: &One) -> String {
    match &one.verdict {
        Verdict::Good if one.canary => "planted bug found".to_owned(),
        Verdict::Good if one.about.blocks => "blocks as expected".to_owned(),
        Verdict::Good if !one.about.breaks.is_empty() => "violated as expected".to_owned(),
        Verdict::Good => "holds".to_owned(),
        Verdict::Failed => {
            format!("FAILED: {}", counted(one.runs.groups.len() as u64, "kind"))
        }
        Verdict::Vacuous(why) => format!("vacuous: {why}"),
        Verdict::NotRun => "not run".to_owned(),
    }
}
