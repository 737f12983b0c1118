//! `seedfall list`, `replay`, `trace` and `hash`.

use super::sweeps::LOOK_TIME;
use super::{
    HashArgs, Problem, ReplayArgs, ShrinkArgs, TraceArgs, code_of_conclusion, code_of_kind, logs,
    scenario, show,
};
use seedfall::case::{Case, Replayed};
use seedfall::report::{Conclusion, Report};
use seedfall::run::{Runnable, Trial};
use seedfall::scenario::Expectation;
use seedfall::shrink;
use seedfall::sweep::{Limits, run_twice, watched};
use seedfall::words::counted;
use seedfall_sim::{Entry, Recording, Seed};
use serde_json::json;
use std::iter::once;
use std::path::Path;

/// `list`.
pub(super) fn list(scenarios: &[Box<dyn Runnable>], json: bool) -> Result<u8, Problem> {
    for scenario in scenarios {
        let (name, story) = (scenario.name(), scenario.story());
        let control = matches!(scenario.expect(), Expectation::Violates { .. });
        if json {
            let value = json!({
                "scenario": name,
                "story": story,
                "model": scenario.model().to_string(),
                "properties": scenario.properties(),
                "negative_control": control,
            });
            show::json(&value);
            continue;
        }
        let control = match scenario.expect() {
            Expectation::Holds => "",
            Expectation::Blocks { .. } => "  (known to block)",
            Expectation::Violates { .. } => "  (negative control: must be violated)",
        };
        show::line(&format!("{}{control}", show::styled(show::GOOD, name)));
        show::line(&format!("  {story}"));
        show::line(&format!("  model      {}", scenario.model()));
        for property in scenario.properties() {
            show::line(&format!("  property   {property}"));
        }
        show::line("");
    }
    Ok(0)
}

/// `hash`.
pub(super) fn hash(
    scenarios: &[Box<dyn Runnable>],
    args: &HashArgs,
    json: bool,
) -> Result<u8, Problem> {
    let scenario = scenario(scenarios, &args.name)?;
    for seed in args.seeds.clone() {
        let report = scenario.run(&Trial::of(Seed(seed)));
        let hash = format!("{:#018x}", report.hash);
        if json {
            let value = json!({
                "scenario": args.name, "seed": seed, "hash": hash, "events": report.events
            });
            show::json(&value);
        } else {
            show::line(&format!("{} {seed} {hash} {}", args.name, report.events));
        }
    }
    Ok(0)
}

/// `trace`.
pub(super) fn trace(
    scenarios: &[Box<dyn Runnable>],
    args: &TraceArgs,
    json: bool,
) -> Result<u8, Problem> {
    let (_, scenario, trial) = target(scenarios, "trace", &args.target, args.seed)?;
    let report = scenario.run(&trial);
    for (index, entry) in report.trace.iter().enumerate() {
        if json {
            show::raw(&entry_json(index, entry).to_string());
        } else {
            show::line(&entry.to_string());
        }
    }
    Ok(code_of_conclusion(report.conclusion()))
}

fn entry_json(index: usize, entry: &Entry) -> serde_json::Value {
    let event = entry.event;
    json!({
        "event": index + 1,
        "at_ns": event.at.as_nanos(),
        "kind": event.kind,
        "actor": event.actor,
        "peer": event.peer,
        "index": event.index,
        "text": entry.text,
        "digest": format!("{:#018x}", event.digest),
        "hash": format!("{:#018x}", entry.hash),
    })
}

/// What a person names to be run: a scenario and a seed, or the file of a case.
pub(super) fn target<'a>(
    scenarios: &'a [Box<dyn Runnable>],
    command: &str,
    target: &str,
    seed: Option<u64>,
) -> Result<(Option<Case>, &'a dyn Runnable, Trial), Problem> {
    if let Some(seed) = seed {
        let scenario = scenario(scenarios, target)?;
        let trial = Trial { recording: Recording::Full, ..Trial::of(Seed(seed)) };
        return Ok((None, scenario, trial));
    }
    if Path::new(target).exists() || target.contains(['/', '.']) {
        let (case, scenario) = Case::load(Path::new(target), scenarios)?;
        let trial = case.trial();
        return Ok((Some(case), scenario, trial));
    }
    scenario(scenarios, target)?;
    Err(Problem(format!(
        "`{command} {target}` needs a seed: `{command} {target} --seed 17`, or the file of a case"
    )))
}

/// `shrink`.
pub(super) fn shrink(
    scenarios: &[Box<dyn Runnable>],
    args: &ShrinkArgs,
    json: bool,
) -> Result<u8, Problem> {
    let (_, scenario, trial) = target(scenarios, "shrink", &args.target, args.seed)?;
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "how long it took is told by the machine's clock; a run never sees it"
    )]
    let started = std::time::Instant::now();
    let effort = args.effort.get();
    let further = shrink::alike(scenario, &trial, args.further, LOOK_TIME, effort.jobs);
    let shrunk = match args.further {
        0 => shrink::shrink(scenario, &trial, &effort),
        _ => shrink::shrink_best(scenario, once(trial.clone()).chain(further), &effort),
    };
    let took = started.elapsed();
    let Some(shrunk) = shrunk else {
        return Err(Problem(format!("{}: this run does not fail", args.target)));
    };
    if let Some(path) = &args.save {
        Case::of(&shrunk.trial, &shrunk.report, "").save(path)?;
    }
    if json {
        let value = json!({
            "run": report_json(&shrunk.report, None),
            "story": shrink::story(&shrunk),
            "runs": shrunk.runs,
            "seconds": took.as_secs_f64(),
            "minimal": shrunk.stopped.is_none(),
            "matter": shrunk.matter.as_ref().map(|matter| matter.matter),
            "events": [shrunk.before.events, shrunk.after.events],
            "whole": shrunk.whole,
            "delivered": [shrunk.before.delivered, shrunk.after.delivered],
            "faults": [shrunk.before.faults, shrunk.after.faults],
            "operations": [shrunk.before.operations, shrunk.after.operations],
            "draws": [shrunk.before.draws, shrunk.after.draws],
        });
        show::json(&value);
    } else {
        show::story(&shrunk, args.save.as_deref());
    }
    Ok(code_of_conclusion(shrunk.report.conclusion()))
}

/// `replay`: a seed or a case, run twice, compared, told.
pub(super) fn replay(
    scenarios: &[Box<dyn Runnable>],
    args: &ReplayArgs,
    json: bool,
) -> Result<u8, Problem> {
    let (case, scenario, trial) = target(scenarios, "replay", &args.target, args.seed)?;
    if let Some(level) = &args.log {
        logs::show(level)?;
    }
    let limits = Limits::DEFAULT;
    let report = match watched(scenario, &trial, &limits) {
        Ok(_) => run_twice(scenario, &Trial { spans: args.log.is_some(), ..trial.clone() }),
        Err(failure) => {
            show::failure(&failure);
            return Ok(code_of_kind(failure.kind));
        }
    };
    if let Some(path) = &args.save {
        Case::of(&trial, &report, "").save(path)?;
    }
    let diverged = match case.as_ref().map(|case| case.compare(&report)) {
        Some(Replayed::Diverged { event, now }) => Some((event, now)),
        Some(Replayed::Same) | None => None,
    };
    if json {
        show::raw(&report_json(&report, diverged.as_ref()).to_string());
    } else {
        tell(scenario, &report, diverged.is_none() && case.is_some());
    }
    if let Some((event, now)) = diverged {
        let now = now.unwrap_or_else(|| "the run is over".to_owned());
        return Err(Problem(format!(
            "{}: this build does not replay the case: the runs diverge at event {event}, \
             where now\n  \
             {}",
            args.target,
            now.trim_start()
        )));
    }
    Ok(code_of_conclusion(report.conclusion()))
}

fn tell(scenario: &dyn Runnable, report: &Report, same_as_case: bool) {
    match report.conclusion() {
        Conclusion::Failed(failure) => {
            show::failure(failure);
        }
        Conclusion::Passed => {
            show::line(&show::styled(
                show::GOOD,
                &format!("{}: every property holds", report.scenario),
            ));
        }
        Conclusion::Unknown(unknown) => {
            let line = format!("{}: {}: {}", report.scenario, unknown.property, unknown.why);
            show::line(&show::styled(show::DULL, &line));
        }
        Conclusion::Vacuous(why) => {
            show::line(&show::styled(show::DULL, &format!("{}: vacuous: {why}", report.scenario)));
        }
    }
    for other in report.failures.iter().skip(1) {
        show::line(&format!("  and        {}: {}", other.property, other.explanation));
    }
    if !report.failed() {
        show::line(&format!("  model      {}", scenario.model()));
        for (index, fault) in report.faults().iter().enumerate() {
            show::line(&format!("  {:<10} {fault}", if index == 0 { "faults" } else { "" }));
        }
        show::line(&format!("  hash       {:#018x}", report.hash));
    }
    let counters = report.counters;
    show::line(&format!(
        "  run        {} until {}; {} sent, {} delivered, {} lost, {} doubled",
        counted(report.events, "event"),
        report.ended,
        counted(counters.sent, "message"),
        show::count(counters.delivered),
        show::count(counters.dropped + counters.lost),
        show::count(counters.duplicated),
    ));
    show::line(&format!(
        "  operations {} completed, {} with an unknown outcome",
        report.completed, report.indeterminate
    ));
    for (mark, times) in &report.marks {
        show::line(&format!("  mark       {mark} ({times})"));
    }
    for line in &report.printed {
        show::line(line);
    }
    let same = if same_as_case { " and to the case" } else { "" };
    show::line(&format!("  replay     ran twice: equal to each other{same}, event for event"));
}

fn report_json(report: &Report, diverged: Option<&(u64, Option<String>)>) -> serde_json::Value {
    let (verdict, failure, why) = match report.conclusion() {
        Conclusion::Passed => ("passed", None, None),
        Conclusion::Unknown(unknown) => ("unknown", None, Some(unknown.why.as_str())),
        Conclusion::Vacuous(why) => ("vacuous", None, Some(why)),
        Conclusion::Failed(failure) => {
            (failure.kind.name(), Some(show::failure_json(failure)), None)
        }
    };
    json!({
        "scenario": report.scenario,
        "seed": report.seed.0,
        "verdict": verdict,
        "why": why,
        "failure": failure,
        "failures": report.failures.iter().map(show::failure_json).collect::<Vec<_>>(),
        "hash": format!("{:#018x}", report.hash),
        "events": report.events,
        "ended_ns": report.ended.as_nanos(),
        "completed": report.completed,
        "indeterminate": report.indeterminate,
        "plan": report.plan,
        "fired": report.fired.iter().map(|(_, fired)| fired).collect::<Vec<_>>(),
        "marks": report.marks,
        "diverges_at_event": diverged.map(|(event, _)| event),
    })
}
