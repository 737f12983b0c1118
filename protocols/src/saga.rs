//! Sagas (Garcia-Molina and Salem, *Sagas*, SIGMOD 1987, cited by section; pivot and retriable
//! steps after Mehrotra, Rastogi, Korth and Silberschatz, *A Transaction Model for Multidatabase
//! Systems*, ICDCS 1992; orchestration, choreography and the semantic lock after Richardson,
//! *Microservices Patterns*, 2018, chapter 4, who took the lock from Frank and Zahle, *Semantic
//! ACID Properties in Multidatabases*, 1998).
//!
//! *Problem.* A long piece of work changes data of several services. To hold locks for as long as
//! it takes is out of the question, and so is to leave it half done.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number at a time; timing `Asynchronous`
//! for safety. A saga ends once those that it needs are up and connected for a while. Nobody blocks
//! meanwhile, which is what isolation is given up for.
//!
//! *Idea.* The work is cut into steps, each a local transaction of one service, at once visible to
//! all. For each step but the last ones there is a compensation that undoes its meaning. Either all
//! steps take place, or those that did are compensated, last first: `T1 .. Tn`, or `T1 .. Tj, Cj ..
//! C1` (section 2). Up to the *pivot* a saga may turn back; from its pivot on it only goes forward,
//! by *retriable* steps that cannot be refused. What may be asked twice has a key, saga and step,
//! under which the service remembers what it did. A compensation that arrives before its step
//! leaves a *tombstone*, on which the step comes to nothing when it arrives after all.
//!
//! Two ways to drive it:
//! - [`orchestrated`]: one node keeps the plan and its own journal, and tells the services what to
//!   do (the paper's saga execution component, section 4);
//! - [`choreographed`]: no such node; each service does its step and passes the saga on.
//!
//! *Properties*, guarded by [`invariants`] while a run goes on, but for L1:
//! - S1 each effect lands at most once, whatever is repeated;
//! - S2 each compensation lands at most once, and only after its effect;
//! - S3 a step lands only after the stages before it; nothing lands behind a tombstone;
//! - S4 what has passed its pivot is not compensated, and what is compensated never passes it; an
//!   orchestrator that turns back never goes forward again;
//! - S5 a saga that is said to be completed has landed whole; of one that is said to be compensated
//!   nothing stands, then and later;
//! - S6 what landed stays, crash or no crash;
//! - S7 conservation: amounts of a plan add up to nothing, so those that stand do, once all ended;
//! - S8 a step that may be refused leaves its account within its bounds, and with the semantic lock
//!   lands on no account that is pending for another saga;
//! - L1 every saga ends, once failures are repaired.
//!
//! *What is not promised*: isolation. Others may see a step that will be compensated (a dirty
//! read). With [`Isolation::SemanticLock`] an account with an effect that may still be compensated
//! is *pending*: readers wait and other sagas are refused, so nobody sees what did not happen.
//! Other anomalies remain: a reader may see one step of a completed saga and not yet another.
//!
//! *Deviations*
//! - What a service offers is fixed: accounts, and steps that add an amount to one. A step is
//!   refused if the balance would leave its bounds. Retriable steps and compensations ignore them.
//! - The client's request names the saga, so a retry is the same saga, and runs once.
//! - Save-points and sub-sagas (sections 5 and 6) are not here; parallel steps (section 7) are, as
//!   stages, in the orchestrated form.
//! - Services never forget a key or a tombstone, and journals are not cut: there is no checkpoint.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | section 2, sagas and compensations | [`Plan`], [`Kind`], `Ledger` in [`ledger`] |
//! | sections 3 and 4, backward recovery, the execution component | [`orchestrated`] |
//! | section 5, forward recovery; Mehrotra et al. | [`Kind::Pivot`], [`Kind::Retriable`] |
//! | section 7, parallel sagas | [`Plan::stages`] |
//! | Richardson 4.2.1, choreography; 3.3.7, transactional outbox | [`choreographed`] |
//! | Richardson 4.3.2, semantic lock | [`Isolation`], `pending` in [`ledger`] |

pub mod choreographed;
mod invariants;
pub mod ledger;
pub mod orchestrated;

use crate::kv::Text;
use ledger::Ledger;
use seedfall_sim::{ClientId, Duration, NodeId};
use std::fmt;

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// Who may see a step before its saga has ended.
    pub isolation: Isolation,
    /// What each account has at first.
    pub opening: i64,
    /// What an account may have at most, as far as steps that may be refused are concerned; the
    /// least is nothing.
    pub ceiling: i64,
    /// How long one waits for an answer at first; twice as long each time.
    pub backoff_min: Duration,
    /// How long at most.
    pub backoff_max: Duration,
    /// How often a step is asked for that may still be given up, before it is. At least one.
    pub attempts: u32,
    /// How often records that were not forced are made durable all the same.
    pub flush_interval: Duration,
}

/// Who may see a step before its saga has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Isolation {
    /// Everybody.
    None,
    /// Nobody, while it may be compensated.
    SemanticLock,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `backoff_min` is zero, or above `backoff_max`.
    BackoffOutOfRange,
    /// `attempts` is zero.
    AttemptsZero,
    /// `opening` is negative or above `ceiling`.
    OpeningOutOfBounds,
    /// `flush_interval` is zero.
    FlushIntervalZero,
}

/// A saga, named by the request that asks for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SagaId {
    /// Whose.
    pub client: ClientId,
    /// The number in the client's session.
    pub sequence: u64,
}

/// A step of a saga, counted from zero over all stages.
pub type StepIndex = u32;

/// What a saga is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Plan {
    /// One after the other; the steps of one stage at the same time. First compensatable ones, then
    /// at most one pivot, alone in its stage, then retriable ones.
    pub stages: Vec<Vec<Step>>,
}

/// A local transaction of one service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Step {
    /// What a saga may do about it.
    pub kind: Kind,
    /// Which account it changes.
    pub account: Text,
    /// By how much; the compensation takes the same amount back.
    pub amount: i64,
}

/// What a saga may do about a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Kind {
    /// It may be refused, and can be compensated.
    Compensatable,
    /// It may be refused, and cannot be compensated: with it the saga is decided.
    Pivot,
    /// It cannot be refused, only be late.
    Retriable,
}

/// How a saga ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Outcome {
    /// All steps took place.
    Completed,
    /// Those that took place are compensated.
    Compensated,
}

/// Why a [`Plan`] cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// There is no step, or a stage without one.
    Empty,
    /// The kinds do not follow each other as they must, or a pivot is not alone.
    KindsOutOfOrder,
}

/// What reports, scenarios and [`invariants`] ask of a node, whoever drives the sagas.
pub trait Books {
    /// The accounts that the node keeps, if it keeps any.
    fn ledger(&self) -> Option<&Ledger>;
    /// The sagas of which it has told a client that, and how, they ended: durable.
    fn outcomes(&self) -> impl Iterator<Item = (SagaId, &Plan, Outcome)>;
    /// The node that keeps an account.
    fn keeper_of(&self, account: &str) -> NodeId;
    /// What it still has to do, in words; `None`: nothing.
    fn unfinished(&self) -> Option<String>;
    /// The parameters.
    fn config(&self) -> &Config;
    /// The sagas that the node drives, each with whether it turns back: durable.
    fn directions(&self) -> impl Iterator<Item = (SagaId, bool)>;
}

impl Plan {
    /// Looks for what cannot be carried out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.stages.is_empty() || self.stages.iter().any(Vec::is_empty) {
            return Err(PlanError::Empty);
        }
        let pivots = self.steps().filter(|(_, _, step)| step.kind == Kind::Pivot).count();
        let alone = |stage: &Vec<Step>| {
            stage.len() == 1 || stage.iter().all(|step| step.kind != Kind::Pivot)
        };
        let kinds = self.steps().map(|(_, _, step)| step.kind);
        let decided = pivots == 1 || self.steps().all(|(_, _, step)| step.kind != Kind::Retriable);
        if !kinds.is_sorted() || 1 < pivots || !self.stages.iter().all(alone) || !decided {
            return Err(PlanError::KindsOutOfOrder);
        }
        Ok(())
    }

    /// Every step with its index and its stage, in order.
    pub fn steps(&self) -> impl Iterator<Item = (StepIndex, usize, &Step)> {
        let stages = self.stages.iter().enumerate();
        let steps = stages.flat_map(|(stage, steps)| steps.iter().map(move |step| (stage, step)));
        (0..).zip(steps).map(|(index, (stage, step))| (index, stage, step))
    }

    /// The steps of a stage, with their indices.
    pub fn stage(&self, stage: usize) -> impl Iterator<Item = (StepIndex, &Step)> {
        self.steps().filter(move |(_, at, _)| *at == stage).map(|(index, _, step)| (index, step))
    }

    /// The step of this index. Panics if there is none.
    pub fn step(&self, index: StepIndex) -> &Step {
        let found = self.steps().find(|(at, ..)| *at == index);
        found.map(|(_, _, step)| step).expect("the plan has this step")
    }

    /// What kind of steps a stage has.
    pub fn kind(&self, stage: usize) -> Kind {
        self.stages[stage][0].kind
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.stages.iter().map(Vec::len).sum()
    }

    /// True if there is no step.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Config {
    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.backoff_min == Duration::ZERO || self.backoff_max < self.backoff_min {
            return Err(ConfigError::BackoffOutOfRange);
        }
        if self.attempts == 0 {
            return Err(ConfigError::AttemptsZero);
        }
        if self.opening < 0 || self.ceiling < self.opening {
            return Err(ConfigError::OpeningOutOfBounds);
        }
        if self.flush_interval == Duration::ZERO {
            return Err(ConfigError::FlushIntervalZero);
        }
        Ok(())
    }

    /// How long to wait after having asked so often.
    pub(crate) fn backoff(&self, asked: u32) -> Duration {
        let doubled = 1_u64 << (asked.saturating_sub(1)).min(16);
        self.backoff_min.scale(doubled, 1).min(self.backoff_max)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BackoffOutOfRange => "backoff_min is zero, or above backoff_max",
            Self::AttemptsZero => "attempts is zero: no step would ever be asked for",
            Self::OpeningOutOfBounds => "opening is negative or above ceiling",
            Self::FlushIntervalZero => "flush_interval is zero: it would flush without end",
        })
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a plan without steps, or a stage without one",
            Self::KindsOutOfOrder => {
                "compensatable stages come first, then one pivot alone, then retriable ones"
            }
        })
    }
}

impl std::error::Error for PlanError {}

impl fmt::Display for SagaId {
    /// `c1~7`: the seventh request of c1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.client, self.sequence)
    }
}

/// As it is displayed: it stands inside messages, where brevity is legibility.
impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Compensatable, Pivot, Retriable};

    fn plan(stages: &[&[Kind]]) -> Plan {
        let step = |kind: &Kind| Step { kind: *kind, account: "a".into(), amount: 1 };
        Plan { stages: stages.iter().map(|stage| stage.iter().map(step).collect()).collect() }
    }

    #[test]
    fn a_plan_turns_back_before_its_pivot_and_goes_forward_after_it() {
        for good in [
            plan(&[&[Compensatable]]),
            plan(&[&[Compensatable, Compensatable], &[Pivot], &[Retriable, Retriable]]),
            plan(&[&[Pivot], &[Retriable]]),
        ] {
            assert_eq!(good.check(), Ok(()), "{good:?}");
        }
        for bad in [
            plan(&[&[Retriable]]),
            plan(&[&[Pivot], &[Compensatable]]),
            plan(&[&[Pivot], &[Pivot]]),
            plan(&[&[Compensatable, Pivot]]),
            plan(&[&[Compensatable], &[Retriable]]),
        ] {
            assert_eq!(bad.check(), Err(PlanError::KindsOutOfOrder), "{bad:?}");
        }
        assert_eq!(plan(&[&[Pivot], &[]]).check(), Err(PlanError::Empty));
        assert_eq!(plan(&[]).check(), Err(PlanError::Empty));
    }

    #[test]
    fn steps_are_counted_over_the_stages() {
        let plan = plan(&[&[Compensatable, Compensatable], &[Pivot]]);
        let places: Vec<_> = plan.steps().map(|(index, stage, _)| (index, stage)).collect();
        assert_eq!(places, [(0, 0), (1, 0), (2, 1)]);
        assert_eq!(plan.stage(1).map(|(index, _)| index).collect::<Vec<_>>(), [2]);
        assert_eq!(plan.len(), 3);
    }
}
