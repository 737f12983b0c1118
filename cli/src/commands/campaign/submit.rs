//! `submit`: a short job for somebody else's scheduler, which hands the shards out.
//!
//! The folder of the campaign becomes an archive: the programs are copied into it, so that a
//! machine needs nothing but the folder. What a machine runs is the same `run --resume --shard
//! auto` for every engine.

use super::manifest::Manifest;
use super::merge::missing_shards;
use super::run::planned;
use super::source::Source;
use super::{Problem, RunArgs, show};
use clap::{Args, ValueEnum};
use seedfall::save::save;
use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who hands shards out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    Slurm,
    Ray,
    Kubernetes,
    Github,
    Gitlab,
}

#[derive(Debug, Args)]
pub(in crate::commands) struct SubmitArgs {
    /// Who hands shards out.
    #[arg(long)]
    engine: Engine,
    /// Into how many shards it is cut: some for each machine, so that one that dies costs little.
    #[arg(long, default_value = "16", value_name = "N")]
    shards: NonZeroU64,
    /// Write the job, and do not hand it over.
    #[arg(long)]
    write_only: bool,
    #[command(flatten)]
    run: RunArgs,
}

/// `submit`.
pub(super) fn submit(source: Source<'_>, args: &SubmitArgs) -> Result<u8, Problem> {
    match args.engine {
        Engine::Github => {
            let text = include_str!("../../../templates/github.yml.in");
            return of_ci(".github/workflows/simulation.yml", text);
        }
        Engine::Gitlab => {
            return of_ci(".gitlab-ci.yml", include_str!("../../../templates/gitlab.yml.in"));
        }
        Engine::Slurm | Engine::Ray | Engine::Kubernetes => {}
    }
    let out = std::path::absolute(&args.run.out)?;
    let manifest = planned(source, &args.run)?;
    let (manifest, runner) = archive(source, manifest, &out)?;
    let missing = missing_shards(&manifest, &out, args.shards)?;
    let array: Vec<String> = missing.iter().map(|shard| (shard.index - 1).to_string()).collect();
    let array = array.join(",");
    if array.is_empty() {
        show::line("nothing is missing");
        return Ok(0);
    }
    fs::create_dir_all(out.join("shards"))?;
    let (name, text) = match args.engine {
        Engine::Slurm => ("job.sh", include_str!("../../../templates/slurm.in")),
        Engine::Ray => ("job.py", include_str!("../../../templates/ray.py.in")),
        _ => ("job.yml", include_str!("../../../templates/kubernetes.yml.in")),
    };
    let path = out.join(name);
    save(&path, fill(text, &manifest, &out, &runner, (args.shards, &array)).as_bytes())?;
    let job = path.display().to_string();
    let command: Vec<&str> = match args.engine {
        Engine::Slurm => vec!["sbatch", "--parsable", &job],
        Engine::Ray => vec!["python3", &job, &array],
        _ => vec!["kubectl", "apply", "-f", &job],
    };
    show::note(&format!("{job}: {} shards of {}", missing.len(), args.shards));
    if args.write_only {
        show::line(&command.join(" "));
        return Ok(0);
    }
    let status = Command::new(command[0]).args(&command[1..]).status();
    let status = status.map_err(|error| Problem(format!("{}: {error}", command[0])))?;
    if !status.success() {
        return Err(Problem(format!("{} did not take the job", command.join(" "))));
    }
    Ok(0)
}

fn of_ci(path: &str, text: &str) -> Result<u8, Problem> {
    let install = "cargo install --bin cargo-seedfall seedfall-cli";
    let text = text.replace("@INSTALL@", install);
    seedfall::save::save_new(Path::new(path), text.as_bytes())
        .map_err(|error| Problem(format!("{path}: {error}")))?;
    show::line(&format!("{path}: written; commit it"));
    Ok(0)
}

/// What stands for the words of a template.
fn fill(
    text: &str,
    manifest: &Manifest,
    out: &Path,
    runner: &[String],
    (shards, array): (NonZeroU64, &str),
) -> String {
    let quoted = |words: &[String]| -> String {
        let quoted = words.iter().map(|word| serde_json::to_string(word).unwrap_or_default());
        quoted.collect::<Vec<_>>().join(", ")
    };
    let words: String = runner[1..].iter().map(|word| format!("{word}, ")).collect();
    text.replace("@ARRAY@", array)
        .replace("@SHARDS@", &shards.to_string())
        .replace("@ID@", &manifest.id)
        .replace("@RUNNER_LIST@", &format!("[{}]", quoted(runner)))
        .replace("@RUNNER@", &runner.join(" "))
        .replace("@COMMAND@", &quoted(&runner[..1]))
        .replace("@WORDS@", &words)
        .replace("@OUT@", &out.display().to_string())
}

/// Copies the programs of a campaign, and this one, into its folder; says what runs a shard.
fn archive(
    source: Source<'_>,
    mut manifest: Manifest,
    out: &Path,
) -> Result<(Manifest, Vec<String>), Problem> {
    let programs = out.join("programs");
    fs::create_dir_all(&programs)?;
    let copy = |from: &Path| -> Result<PathBuf, Problem> {
        let to = programs.join(from.file_name().unwrap_or_default());
        if from != to && !to.exists() {
            // Beside, then renamed: a copy that is cut short must not be run.
            let part = to.with_extension("part");
            fs::copy(from, &part)?;
            fs::rename(&part, &to)?;
        }
        Ok(to)
    };
    for target in &mut manifest.scenarios {
        target.program = copy(&target.program)?;
    }
    let own = copy(&std::env::current_exe()?)?;
    manifest.replace(out)?;
    let words: &[&str] = match source {
        Source::Builtin(_) => &["campaign"],
        Source::Cargo(_) => &["seedfall"],
    };
    let mut runner = vec![own.display().to_string()];
    runner.extend(words.iter().map(|word| (*word).to_owned()));
    Ok((manifest, runner))
}
