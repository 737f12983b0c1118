//! `seedfall keep`: a case among those that `cargo test` replays, and what becomes of it when the
//! code changes.

use super::{Problem, code_of_conclusion, show};
use clap::Args;
use seedfall::case::{Case, CaseError, Replayed};
use seedfall::report::{Conclusion, Report};
use seedfall::run::{Runnable, Trial};
use seedfall::shrink::{DEFAULT_RUNS, Effort};
use seedfall::words::{self, counted};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 kept, refreshed or retired, 2 bad input, 4 the failure is not found again; else those
of a run that breaks a property.

Examples:
  seedfall keep target/seedfall/raft-kv-17.json \"a deposed leader answers\" --as deposed-leader
  seedfall keep --refresh tests/regressions/deposed-leader.json")]
pub(super) struct KeepArgs {
    /// The file of the case.
    case: PathBuf,
    /// What was wrong, in a sentence.
    #[arg(required_unless_present = "refresh", conflicts_with = "refresh")]
    note: Option<String>,
    /// The name under which it is kept; without it, that of the file.
    #[arg(long = "as", value_name = "NAME", conflicts_with = "refresh")]
    name: Option<String>,
    /// Where it is kept.
    #[arg(long, default_value = "tests/regressions", value_name = "FOLDER")]
    to: PathBuf,
    /// The case is stale: look for its failure again, make it small again, and write it anew.
    #[arg(long)]
    refresh: bool,
    /// With --refresh: the bug was mended; keep the run, which passes now.
    #[arg(long, requires = "refresh", conflicts_with = "retire")]
    fixed: bool,
    /// With --refresh: if the failure is not found again, retire the case, for this reason.
    #[arg(long, requires = "refresh", value_name = "WHY")]
    retire: Option<String>,
    /// How many runs shrinking may take.
    #[arg(long, default_value_t = DEFAULT_RUNS, value_name = "N", requires = "refresh")]
    runs: u64,
}

/// `keep`.
pub(super) fn keep(
    scenarios: &[Box<dyn Runnable>],
    args: &KeepArgs,
    json: bool,
) -> Result<u8, Problem> {
    let (case, scenario) = Case::load(&args.case, scenarios)?;
    let report = scenario.run(&case.trial());
    let done = match &args.note {
        Some(note) => add(&case, &report, note, args),
        None => refresh(&case, scenario, &report, args),
    };
    let Done { code, did, told, path } = done?;
    if json {
        let value = json!({ "did": did, "told": told, "case": path });
        show::json(&value);
        return Ok(code);
    }
    told.iter().for_each(|line| show::line(line));
    let replay = words::command(&format!("replay {}", path.display()));
    show::line(&format!("  replay     {replay}"));
    Ok(code)
}

/// What came of it.
struct Done {
    code: u8,
    /// In a word.
    did: &'static str,
    told: Vec<String>,
    path: PathBuf,
}

fn add(case: &Case, report: &Report, note: &str, args: &KeepArgs) -> Result<Done, Problem> {
    let note = note.trim();
    if note.is_empty() {
        return Err(Problem("a kept case says what was wrong: the note is empty".to_owned()));
    }
    if let Some((event, now)) = diverged(case, report) {
        return Err(Problem(format!(
            "{}: this build does not replay the case: the runs diverge at event {event}, \
             where now\n  \
             {now}\nsweep or shrink again, and keep what that finds",
            args.case.display()
        )));
    }
    let stem = || args.case.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(stem).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Problem(format!(
            "`{name}` is not a name for a case; expected letters, digits, `-` and `_`: --as NAME"
        )));
    }
    let path = args.to.join(format!("{name}.json"));
    let kept = Case { note: note.to_owned(), retired: None, ..case.clone() };
    kept.save_new(&path).map_err(|error| match &error {
        CaseError::Io(_, why) if why.kind() == std::io::ErrorKind::AlreadyExists => {
            Problem(format!("{}: there already; nothing is overwritten: --as NAME", path.display()))
        }
        _ => error.into(),
    })?;
    let mut told = vec![format!("kept in {}", path.display())];
    if let Some(failure) = report.failure() {
        told.push(format!("  fails      {}", failure.fingerprint));
        told.push("  cargo test is red until the bug is mended; then:".to_owned());
        told.push(format!("             seedfall keep --refresh {} --fixed", path.display()));
    }
    Ok(Done { code: 0, did: "kept", told, path })
}

fn diverged(case: &Case, report: &Report) -> Option<(u64, String)> {
    match case.compare(report) {
        Replayed::Same => None,
        Replayed::Diverged { event, now } => {
            let now = now.unwrap_or_else(|| "the run is over".to_owned());
            Some((event, now.trim().to_owned()))
        }
    }
}

fn fingerprint(report: &Report) -> Option<&str> {
    report.failure().map(|failure| failure.fingerprint.as_str())
}

fn refresh(
    case: &Case,
    scenario: &dyn Runnable,
    report: &Report,
    args: &KeepArgs,
) -> Result<Done, Problem> {
    let path = args.case.clone();
    let done = |code, did, told| Done { code, did, told, path: path.clone() };
    let where_to = match diverged(case, report) {
        None if fingerprint(report) == case.expect.fingerprint.as_deref() => {
            if case.retired.is_some() {
                Case { retired: None, ..case.clone() }.save(&path)?;
                let told = vec![format!("{}: replays again; no longer retired", path.display())];
                return Ok(done(0, "back", told));
            }
            let told = vec![format!("{}: replays as it is stored", path.display())];
            return Ok(done(0, "nothing", told));
        }
        None => "it is the stored run, and is judged otherwise".to_owned(),
        Some((event, now)) => format!("it diverges from the stored run at event {event}: {now}"),
    };
    let mut told = vec![format!("{}: {where_to}", path.display())];
    let Some(wanted) = &case.expect.fingerprint else {
        return refresh_passing(case, report, told, &path);
    };
    if let Some(small) = case.found_again(scenario, &Effort::runs(args.runs)) {
        small.save(&path)?;
        told.push(format!("  found      {wanted}"));
        let events = counted(small.expect.events, "event");
        told.push(format!("  small      {events}; written anew"));
        return Ok(done(0, "refreshed", told));
    }
    // Nothing breaks any more where the run was over: it goes on to its end.
    let whole = Trial { until: None, ..case.trial() };
    let mended = scenario.run(&whole);
    if args.fixed && mended.conclusion() == Conclusion::Passed {
        Case::of(&whole, &mended, &case.note).save(&path)?;
        told.push(format!("  mended     {wanted}"));
        told.push("  the run passes now; written anew".to_owned());
        return Ok(done(0, "fixed", told));
    }
    if let Some(why) = &args.retire {
        Case { retired: Some(why.clone()), ..case.clone() }.save(&path)?;
        told.push(format!("  retired    {why}"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        told.push(format!("  name it    \"{name}\" in RETIRED of tests/it/regressions.rs"));
        return Ok(done(0, "retired", told));
    }
    told.push(format!("  not found  {wanted}"));
    told.push(format!("  now        {}", fingerprint(report).unwrap_or("the run breaks nothing")));
    told.push("  nothing is written. If the bug was mended and the run passes: --fixed".to_owned());
    told.push("  If nothing can reach it any more, retire it by name: --retire WHY".to_owned());
    Ok(done(4, "not found", told))
}

/// A case of a run that passed, after its bug was mended: it may become another run, but it has to
/// pass.
fn refresh_passing(
    case: &Case,
    report: &Report,
    mut told: Vec<String>,
    path: &Path,
) -> Result<Done, Problem> {
    let did = match report.conclusion() {
        Conclusion::Passed => {
            Case::of(&case.trial(), report, &case.note).save(path)?;
            told.push("  passes     as it did; written anew".to_owned());
            told.push("  see that it still shows what its note says".to_owned());
            "refreshed"
        }
        Conclusion::Unknown(unknown) => {
            told.push(format!("  unknown    {}; nothing is written", unknown.why));
            "unknown"
        }
        Conclusion::Vacuous(why) => {
            told.push(format!("  vacuous    {why}; nothing is written"));
            "vacuous"
        }
        Conclusion::Failed(failure) => {
            told.push(failure.to_string());
            told.push("  a bug, not a stale case; nothing is written".to_owned());
            "failed"
        }
    };
    let code = code_of_conclusion(report.conclusion());
    Ok(Done { code, did, told, path: path.to_owned() })
}
