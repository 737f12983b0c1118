//! What the shards of a large campaign would leave, written as they write it, without running it:
//! `tests/campaign/scale` merges that, and says what it costs.
//!
//! `scale SMALL LARGE SHARDS SEEDS`: the lines of the campaign in the folder SMALL, which was run,
//! stand for what each unit of the campaign in LARGE comes to, of which nothing was run: SEEDS of
//! each scenario.

#![allow(clippy::print_stdout, reason = "an example prints")]

use seedfall::campaign::{Entry, Runs, Shard, Start, decode, encode, units};
use seedfall::save::save;
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

/// The files of a folder with this ending.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let paths = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    let has = |path: &PathBuf| path.extension().is_some_and(|it| it == ending);
    Ok(paths.into_iter().filter(has).collect())
}

/// By scenario, its first line and the sum of the others.
fn patterns(small: &Path) -> Result<BTreeMap<String, (Start, Runs)>, Box<dyn Error>> {
    let mut patterns = BTreeMap::new();
    for path in files(&small.join("shards"), "jsonl")? {
        let mut start = None;
        for line in fs::read_to_string(path)?.lines() {
            match decode(line)? {
                Entry::Start(it) => start = Some(*it),
                Entry::Runs(runs) => {
                    let start = start.clone().ok_or("runs before their start")?;
                    let scenario = runs.scenario.clone();
                    let pattern = patterns.entry(scenario);
                    let (_, sum) = pattern.or_insert_with(|| (start, Runs::default()));
                    let (scenario, build) = (runs.scenario.clone(), runs.build.clone());
                    sum.add(*runs);
                    (sum.scenario, sum.build) = (scenario, build);
                }
            }
        }
    }
    Ok(patterns)
}

/// What the pattern would come to over these seeds.
fn runs(pattern: &Runs, seeds: &std::ops::Range<u64>, build: &str) -> Runs {
    let of = pattern.runs().max(1);
    let all = seeds.end - seeds.start;
    let more = |count: u64| (u128::from(count) * u128::from(all) / u128::from(of)) as u64;
    let mut runs = pattern.clone();
    (runs.from, runs.to, runs.build) = (seeds.start, seeds.end, build.to_owned());
    for count in [
        &mut runs.vacuous,
        &mut runs.unknown,
        &mut runs.failed,
        &mut runs.as_expected,
        &mut runs.twice,
        &mut runs.events,
        &mut runs.delivered,
        &mut runs.completed,
        &mut runs.indeterminate,
        &mut runs.busy,
    ] {
        *count = more(*count);
    }
    runs.passed = all - (runs.vacuous + runs.unknown + runs.failed + runs.as_expected);
    runs.hash = format!("{:#018x}", seeds.start.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    runs.fired.values_mut().for_each(|(planned, fired)| {
        (*planned, *fired) = (more(*planned), more(*fired));
    });
    runs.marks.values_mut().for_each(|count| *count = more(*count));
    for group in runs.groups.values_mut().chain(runs.expected.values_mut()) {
        (group.runs, group.seed) = (more(group.runs), seeds.start + group.seed % all);
    }
    runs
}

/// The state of an attempt that took a night: what the small one says, with a course as long as one
/// can be.
fn state(pattern: &Value, shard: Shard) -> Value {
    let mut state = pattern.clone();
    state["shard"] = shard.to_string().into();
    state["attempt"] = format!("synthetic-{}", shard.index).into();
    state["seconds"] = 28_800.into();
    state["done"] = true.into();
    state["course"]["step"] = 128.into();
    let points = (1..=225_u64).map(|point| serde_json::json!([point * 4_444, point * 9_999_999]));
    state["course"]["points"] = points.collect();
    state
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [small, large, shards, seeds] = arguments.as_slice() else {
        return Err("expected SMALL LARGE SHARDS SEEDS".into());
    };
    let (small, large) = (Path::new(small), Path::new(large));
    let of: NonZeroU64 = shards.parse()?;
    let campaign: Value = serde_json::from_slice(&fs::read(large.join("campaign.json"))?)?;
    let number = |name: &str| campaign[name].as_u64().ok_or_else(|| format!("no {name}"));
    let (from, seeds): (u64, u64) = (number("from")?, seeds.parse()?);
    let unit = NonZeroU64::new(number("unit")?).ok_or("units of no seed")?;
    let build = campaign["build"].as_str().ok_or("no build")?;
    let patterns = patterns(small)?;
    let path = files(&small.join("shards"), "state")?.pop().ok_or("no state")?;
    let state_pattern: Value = serde_json::from_slice(&fs::read(path)?)?;
    let (mut lines, mut bytes, mut work) = (0, 0, Vec::new());
    for index in 1..=of.get() {
        let shard = Shard { index, of };
        let (mut text, mut busy) = (String::new(), 0);
        for (start, pattern) in patterns.values() {
            let mut first = true;
            for span in units(&pattern.scenario, from..from + seeds, unit, shard) {
                if std::mem::take(&mut first) {
                    let start = Start {
                        build: build.to_owned(),
                        seeds: from..from + seeds,
                        unit: unit.get(),
                        ..start.clone()
                    };
                    text += &encode(&Entry::Start(Box::new(start)));
                }
                let runs = runs(pattern, &span, build);
                busy += runs.busy;
                text += &encode(&Entry::Runs(Box::new(runs)));
                lines += 1;
            }
        }
        let path =
            |ending: &str| large.join(format!("shards/{index}-of-{of}.synthetic-{index}.{ending}"));
        save(&path("jsonl"), text.as_bytes())?;
        let state = serde_json::to_vec_pretty(&state(&state_pattern, shard))?;
        save(&path("state"), &state)?;
        bytes += text.len() + state.len();
        work.push(busy as f64);
    }
    let runs = seeds * patterns.len() as u64;
    let most = work.iter().copied().fold(0.0, f64::max);
    let mean = work.iter().sum::<f64>() / work.len() as f64;
    println!(
        "{runs} runs of {} scenarios in {of} shards: {lines} units of {unit} seeds, {bytes} bytes",
        patterns.len()
    );
    println!("the longest shard has {:.2} times the work of the mean one", most / mean.max(1.0));
    Ok(())
}
