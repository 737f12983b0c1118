//! The properties of a scenario: always, eventually, sometimes.

use seedfall_checkers::{Budget, History, Model, Verdict, linearizable as check_linearizable};
use seedfall_sim::{Monitor, NodeId, Protocol, Violation};
use std::fmt;
use std::sync::Arc;

/// One property of a scenario.
pub struct Property<P: Protocol, I, O> {
    /// Its name, as failures and tables print it.
    pub name: &'static str,
    pub(crate) kind: Kind<P, I, O>,
}

impl<P: Protocol, I, O> Property<P, I, O> {
    /// Whether it is about what a sweep must reach, rather than about what must hold.
    pub fn is_sometimes(&self) -> bool {
        matches!(self.kind, Kind::Sometimes(_))
    }

    /// Whether it is that every operation completes.
    pub fn is_completion(&self) -> bool {
        matches!(self.kind, Kind::Complete)
    }

    /// Who judges a history by it, if it is about histories: of a run, or of whatever else was
    /// recorded.
    pub fn history_judge(&self) -> Option<Arc<JudgeHistory<I, O>>> {
        match &self.kind {
            Kind::History(judge) => Some(Arc::clone(judge)),
            _ => None,
        }
    }
}

impl<P: Protocol, I, O> Clone for Property<P, I, O> {
    fn clone(&self) -> Self {
        Self { name: self.name, kind: self.kind.clone() }
    }
}

impl<P: Protocol, I, O> fmt::Debug for Property<P, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.name)
    }
}

type MakeMonitor<P> = dyn Fn() -> Box<dyn Monitor<P>> + Send + Sync;
/// Judges a history.
pub type JudgeHistory<I, O> = dyn Fn(&History<I, O>) -> Judgement + Send + Sync;
type JudgeNodes<P> = dyn Fn(&[Option<&P>]) -> Result<(), String> + Send + Sync;

pub(crate) enum Kind<P: Protocol, I, O> {
    /// Safety, watched while the run goes on.
    Invariant(Arc<MakeMonitor<P>>),
    /// Safety, judged when the run is over.
    History(Arc<JudgeHistory<I, O>>),
    /// Liveness: every operation called after the faults stopped completes.
    Complete,
    /// Liveness: the nodes come to a state.
    Eventually(Arc<JudgeNodes<P>>),
    /// Reach: over a whole sweep, the protocol says so at least once.
    Sometimes(&'static str),
}

impl<P: Protocol, I, O> Clone for Kind<P, I, O> {
    fn clone(&self) -> Self {
        match self {
            Self::Invariant(make) => Self::Invariant(Arc::clone(make)),
            Self::History(judge) => Self::History(Arc::clone(judge)),
            Self::Complete => Self::Complete,
            Self::Eventually(judge) => Self::Eventually(Arc::clone(judge)),
            Self::Sometimes(mark) => Self::Sometimes(mark),
        }
    }
}

impl<P: Protocol, I, O> Kind<P, I, O> {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Invariant(_) | Self::History(_) => "always",
            Self::Complete | Self::Eventually(_) => "eventually",
            Self::Sometimes(_) => "sometimes",
        }
    }
}

/// What a checker says of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The property was kept.
    Holds,
    /// It was broken.
    Violated {
        /// Why, in a sentence.
        reason: String,
        /// The operation that cannot be explained, as an index of the history.
        operation: Option<usize>,
        /// The operations that contradict each other, as indices of the history.
        core: Vec<usize>,
    },
    /// The checker ran out of its budget.
    Unknown(String),
}

/// Always: the history is linearizable (Herlihy and Wing 1990) with respect to the model. A check
/// may cost [`Budget::DEFAULT`], a second or two on a slow core; if that was too little, the run
/// proves nothing and says what helps.
pub fn linearizable<P, M>(model: M) -> Property<P, M::Input, M::Output>
where
    P: Protocol,
    M: Model + Send + Sync + 'static,
{
    linearizable_within(model, Budget::DEFAULT)
}

/// As [`linearizable`]; a check may cost so many configurations and bytes. Neither is a time: the
/// same run has the same verdict on any machine.
///
/// # Panics
/// The property panics on a history that no recorder can have produced, which is an error of what
/// recorded it.
pub fn linearizable_within<P, M>(model: M, budget: Budget) -> Property<P, M::Input, M::Output>
where
    P: Protocol,
    M: Model + Send + Sync + 'static,
{
    always("linearizable", move |history| {
        let verdict = check_linearizable(&model, history, budget)
            .unwrap_or_else(|error| panic!("the history was recorded wrongly: {error}"));
        match verdict {
            Verdict::Holds(_) => Judgement::Holds,
            Verdict::Violated(witness) => Judgement::Violated {
                reason: witness.reason.sentence().to_owned(),
                operation: Some(witness.operation as usize),
                core: witness.core.iter().map(|operation| *operation as usize).collect(),
            },
            Verdict::Unknown(exhausted) => {
                Judgement::Unknown(format!("{exhausted} (`linearizable_within`)"))
            }
        }
    })
}

/// Always: the history passes a check of the user's own, at any moment: a history that passes does
/// so as well when it is cut short, with the operations that were open then indeterminate. (A
/// shrunk run is over as soon as it fails.)
pub fn always<P: Protocol, I, O>(
    name: &'static str,
    judge: impl Fn(&History<I, O>) -> Judgement + Send + Sync + 'static,
) -> Property<P, I, O> {
    Property { name, kind: Kind::History(Arc::new(judge)) }
}

/// Always: the invariants that a monitor watches after every event; `make` gives each run its own.
pub fn invariants<P: Protocol, I, O, M: Monitor<P> + 'static>(
    name: &'static str,
    make: impl Fn() -> M + Send + Sync + 'static,
) -> Property<P, I, O> {
    Property { name, kind: Kind::Invariant(Arc::new(move || Box::new(make()))) }
}

/// Always: a condition on the state of one node, checked whenever it may have changed. The error
/// says what is wrong.
pub fn invariant<P: Protocol + 'static, I, O>(
    name: &'static str,
    holds: fn(NodeId, &P) -> Result<(), String>,
) -> Property<P, I, O> {
    struct EachNode<P>(&'static str, fn(NodeId, &P) -> Result<(), String>);
    impl<P> Monitor<P> for EachNode<P> {
        fn observe(&mut self, node: NodeId, state: &P) -> Result<(), Violation> {
            let broken = |explanation| Violation { property: self.0, explanation };
            (self.1)(node, state).map_err(broken)
        }
    }
    invariants(name, move || EachNode(name, holds))
}

/// Eventually: every operation that is called after the faults stopped completes.
pub fn every_operation_completes<P: Protocol, I, O>() -> Property<P, I, O> {
    Property { name: "every operation completes", kind: Kind::Complete }
}

/// Eventually: the nodes (`None`: down) come to a state, after the faults stopped. The error says
/// what is missing.
pub fn eventually<P: Protocol, I, O>(
    name: &'static str,
    judge: impl Fn(&[Option<&P>]) -> Result<(), String> + Send + Sync + 'static,
) -> Property<P, I, O> {
    Property { name, kind: Kind::Eventually(Arc::new(judge)) }
}

/// Sometimes: over a whole sweep, the protocol calls `Context::reach` (or `Context::ignore`) with
/// these very words.
pub fn sometimes<P: Protocol, I, O>(mark: &'static str) -> Property<P, I, O> {
    Property { name: mark, kind: Kind::Sometimes(mark) }
}
