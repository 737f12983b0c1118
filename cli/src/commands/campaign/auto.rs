//! Which shard this process is, where a scheduler or a CI says so in the environment.

use seedfall::campaign::Shard;
use std::num::NonZeroU64;

/// How the environment is asked.
pub(super) type Ask<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where engines say it: the number, whether it counts from one, and how many there are (which
/// some leave to `SEEDFALL_SHARDS`).
const ENGINES: [(&str, &str, bool, Option<&str>); 8] = [
    ("Slurm", "SLURM_ARRAY_TASK_ID", false, None),
    ("Kubernetes", "JOB_COMPLETION_INDEX", false, None),
    ("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", false, Some("AWS_BATCH_JOB_ARRAY_SIZE")),
    ("Buildkite", "BUILDKITE_PARALLEL_JOB", false, Some("BUILDKITE_PARALLEL_JOB_COUNT")),
    ("GitLab", "CI_NODE_INDEX", true, Some("CI_NODE_TOTAL")),
    ("CircleCI", "CIRCLE_NODE_INDEX", false, Some("CIRCLE_NODE_TOTAL")),
    ("HyperQueue", "HQ_TASK_ID", false, None),
    // A matrix of GitHub Actions has no variable of its own: `strategy.job-index` is handed on.
    ("GitHub Actions", "SEEDFALL_JOB_INDEX", false, Some("SEEDFALL_JOB_TOTAL")),
];

/// Reads `K/N`, or asks the environment for `auto`. Of how many: what the engine says, else
/// `SEEDFALL_SHARDS`; an array of Slurm may be resubmitted in part, so what it says of its size
/// does not count.
pub(super) fn shard(text: &str, ask: Ask<'_>) -> Result<Shard, String> {
    if text != "auto" {
        return Shard::parse(text);
    }
    if let Some(said) = ask("SEEDFALL_SHARD") {
        return Shard::parse(&said).map_err(|error| format!("SEEDFALL_SHARD: {error}"));
    }
    let here = |&&(_, index, ..): &&(&str, &str, bool, Option<&str>)| ask(index).is_some();
    let Some((engine, index, from_one, total)) = ENGINES.iter().find(here) else {
        let known: Vec<&str> = ENGINES.iter().map(|(engine, ..)| *engine).collect();
        return Err(format!(
            "no engine says which shard this is; expected SEEDFALL_SHARD=K/N, or a job of one of \
             {}",
            known.join(", ")
        ));
    };
    let number = |name: &str| -> Result<u64, String> {
        let text = ask(name).ok_or_else(|| {
            format!("{engine} says by {index} which shard this is; expected {name}: of how many")
        })?;
        text.trim().parse().map_err(|_| format!("{name}: `{text}`: expected a whole number"))
    };
    let of = match total.filter(|total| ask(total).is_some()) {
        Some(total) => number(total)?,
        None => number("SEEDFALL_SHARDS")?,
    };
    let index_from_one = number(index)? + u64::from(!from_one);
    let wrong = || format!("{engine}: {index} is {index_from_one} from one, of {of}");
    let of = NonZeroU64::new(of).ok_or_else(wrong)?;
    if index_from_one == 0 || of.get() < index_from_one {
        return Err(wrong());
    }
    Ok(Shard { index: index_from_one, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<String, String> {
        let ask = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        shard("auto", &ask).map(|shard| shard.to_string())
    }

    #[test]
    fn every_engine_says_which_shard_it_is() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(read(&[("SEEDFALL_SHARD", "2/5")]), ok("2/5"));
        let shards = ("SEEDFALL_SHARDS", "24");
        assert_eq!(read(&[("SLURM_ARRAY_TASK_ID", "0"), shards]), ok("1/24"));
        assert_eq!(read(&[("JOB_COMPLETION_INDEX", "23"), shards]), ok("24/24"));
        assert_eq!(read(&[("AWS_BATCH_JOB_ARRAY_INDEX", "3"), shards]), ok("4/24"));
        let buildkite = [("BUILDKITE_PARALLEL_JOB", "1"), ("BUILDKITE_PARALLEL_JOB_COUNT", "4")];
        assert_eq!(read(&buildkite), ok("2/4"));
        assert_eq!(read(&[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "3")]), ok("1/3"));
        assert_eq!(read(&[("CIRCLE_NODE_INDEX", "1"), ("CIRCLE_NODE_TOTAL", "3")]), ok("2/3"));
        assert_eq!(read(&[("HQ_TASK_ID", "9"), shards]), ok("10/24"));
        let github = [("SEEDFALL_JOB_INDEX", "0"), ("SEEDFALL_JOB_TOTAL", "4")];
        assert_eq!(read(&github), ok("1/4"));
        assert!(read(&[]).expect_err("nobody says").contains("no engine says"));
        let wrong = read(&[("SLURM_ARRAY_TASK_ID", "24"), shards]).expect_err("beyond the last");
        assert!(wrong.contains("25 from one, of 24"), "{wrong}");
        let alone = read(&[("HQ_TASK_ID", "1")]).expect_err("of how many?");
        assert!(alone.contains("expected SEEDFALL_SHARDS"), "{alone}");
    }
}
