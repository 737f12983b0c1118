//! The properties of a scenario: always, eventually, sometimes.

use crate::run::Abstraction;
use seedfall_checkers::{Budget, History, Model, linearizable as check_linearizable};
use seedfall_sim::{Monitor, NodeId, Protocol, RequestId, Violation};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use holder::one_holder;
pub use judgement::Judgement;

mod holder;
mod judgement;

/// One property of a scenario.
pub struct Property<P: Protocol, I, O> {
    /// Its name, as failures and tables print it.
    pub name: &'static str,
    pub(crate) kind: Kind<P, I, O>,
}

impl<P: Protocol, I, O> Property<P, I, O> {
    /// Whether it is about what a sweep must reach, rather than about what must hold.
    pub fn is_sometimes(&self) -> bool {
        matches!(self.kind, Kind::Sometimes(_) | Kind::Seen(_))
    }

    /// Whether it says what a search takes for the state of a node, and nothing that must hold.
    pub fn is_abstraction(&self) -> bool {
        matches!(self.kind, Kind::Abstraction(_))
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
type SeeHistory<I, O> = dyn Fn(&History<I, O>) -> bool + Send + Sync;
type JudgeNodes<P, I, O> = dyn Fn(&[Option<&P>], &[Told<'_, I, O>]) -> Judgement + Send + Sync;

/// A name that was made while the test runs stays as long as the process: reports, failures and
/// tables quote it, and a test makes a handful of them.
pub(crate) fn lasting(name: impl Into<Cow<'static, str>>) -> &'static str {
    match name.into() {
        Cow::Borrowed(name) => name,
        Cow::Owned(name) => name.leak(),
    }
}

pub(crate) enum Kind<P: Protocol, I, O> {
    /// Safety, watched while the run goes on.
    Invariant(Arc<MakeMonitor<P>>),
    /// Safety, judged when the run is over.
    History(Arc<JudgeHistory<I, O>>),
    /// No property, but what a search takes for the state of a node.
    Abstraction(Arc<Abstraction<P>>),
    /// Liveness: every operation called after the faults stopped completes.
    Complete,
    /// Liveness: the nodes come to a state, which may depend on what clients were told.
    Eventually(Arc<JudgeNodes<P, I, O>>),
    /// Reach: over a whole sweep, the protocol says so at least once.
    Sometimes(&'static str),
    /// Reach: over a whole sweep, this is so of a history at least once.
    Seen(Arc<SeeHistory<I, O>>),
}

impl<P: Protocol, I, O> Clone for Kind<P, I, O> {
    fn clone(&self) -> Self {
        match self {
            Self::Invariant(make) => Self::Invariant(Arc::clone(make)),
            Self::History(judge) => Self::History(Arc::clone(judge)),
            Self::Abstraction(of) => Self::Abstraction(Arc::clone(of)),
            Self::Complete => Self::Complete,
            Self::Eventually(judge) => Self::Eventually(Arc::clone(judge)),
            Self::Sometimes(mark) => Self::Sometimes(mark),
            Self::Seen(sees) => Self::Seen(Arc::clone(sees)),
        }
    }
}

impl<P: Protocol, I, O> Kind<P, I, O> {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Invariant(_) | Self::History(_) => "always",
            Self::Complete | Self::Eventually(_) => "eventually",
            Self::Sometimes(_) | Self::Seen(_) => "sometimes",
            Self::Abstraction(_) => "abstraction",
        }
    }
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
        match verdict.into() {
            Judgement::Unknown(why) => Judgement::Unknown(format!("{why} (`linearizable_within`)")),
            judged => judged,
        }
    })
}

/// Always: the history passes a check of the user's own, which answers with whatever a
/// [`Judgement`] is made from: a `bool`, a `Result<(), E>` whose error says what is wrong, a
/// verdict or report of a checker, or a [`Judgement`].
///
/// The check must be **prefix-closed**: if a history passes, it passes as well when it is cut off
/// at any earlier instant, with the operations that were open then indeterminate. For safety that
/// is no restriction: what is wrong at an instant stays wrong, whatever comes later. A shrunk run
/// is over as soon as it fails, so a check that asks whether something *has happened by the end*
/// would fail on every run cut short; that is an [`eventually`]. In a build with debug assertions,
/// some seeds of each sweep judge a few prefixes of a history that holds, and a check that refuses
/// one fails by its name.
///
/// ```
/// use seedfall::prelude::*;
/// # use seedfall::sim::Protocol;
///
/// /// No two operations are given the same number.
/// fn unique<P: Protocol>() -> Property<P, (), u64> {
///     always("numbers are unique", |history: &History<(), u64>| {
///         let mut given: Vec<u64> =
///             history.operations.iter().filter_map(|one| one.outcome.output().copied()).collect();
///         given.sort_unstable();
///         match given.windows(2).find(|pair| pair[0] == pair[1]) {
///             Some(pair) => Err(format!("{} was given twice", pair[0])),
///             None => Ok(()),
///         }
///     })
/// }
/// ```
pub fn always<P: Protocol, I, O, J: Into<Judgement>>(
    name: impl Into<Cow<'static, str>>,
    judge: impl Fn(&History<I, O>) -> J + Send + Sync + 'static,
) -> Property<P, I, O> {
    let judge = move |history: &History<I, O>| judge(history).into();
    Property { name: lasting(name), kind: Kind::History(Arc::new(judge)) }
}

/// Always: the invariants that a monitor watches after every event; `make` gives each run its own.
pub fn invariants<P: Protocol, I, O, M: Monitor<P> + 'static>(
    name: impl Into<Cow<'static, str>>,
    make: impl Fn() -> M + Send + Sync + 'static,
) -> Property<P, I, O> {
    Property { name: lasting(name), kind: Kind::Invariant(Arc::new(move || Box::new(make()))) }
}

/// Always: a condition on the state of one node, checked whenever it may have changed. It answers
/// with whatever a [`Judgement`] is made from, such as a `bool`, or a `Result<(), String>` whose
/// error says what is wrong.
pub fn invariant<P: Protocol + 'static, I, O, J: Into<Judgement>>(
    name: impl Into<Cow<'static, str>>,
    holds: impl Fn(NodeId, &P) -> J + Send + Sync + 'static,
) -> Property<P, I, O> {
    struct EachNode<F>(&'static str, Arc<F>);
    impl<P, J: Into<Judgement>, F: Fn(NodeId, &P) -> J> Monitor<P> for EachNode<F> {
        fn observe(&mut self, node: NodeId, state: &P) -> Result<(), Violation> {
            match (self.1)(node, state).into() {
                Judgement::Violated { reason: explanation, .. } => {
                    Err(Violation { property: self.0, explanation })
                }
                Judgement::Holds | Judgement::Unknown(_) => Ok(()),
            }
        }
    }
    let (name, holds) = (lasting(name), Arc::new(holds));
    invariants(name, move || EachNode(name, Arc::clone(&holds)))
}

/// Eventually: every operation that is called after the faults stopped completes.
pub fn every_operation_completes<P: Protocol, I, O>() -> Property<P, I, O> {
    Property { name: "every operation completes", kind: Kind::Complete }
}

/// Eventually: the nodes (`None`: down) come to a state, after the faults stopped. It answers with
/// whatever a [`Judgement`] is made from; what is violated, or unknown, is not there yet.
pub fn eventually<P: Protocol, I, O, J: Into<Judgement>>(
    name: impl Into<Cow<'static, str>>,
    judge: impl Fn(&[Option<&P>]) -> J + Send + Sync + 'static,
) -> Property<P, I, O> {
    eventually_told(name, move |nodes, _| judge(nodes))
}

/// What a client was told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a, I, O> {
    /// By which name the nodes know what it asked.
    pub request: RequestId,
    /// What it asked.
    pub input: &'a I,
    /// The answer.
    pub output: &'a O,
}

/// As [`eventually`], of the nodes and of what clients were told: that it is so. Of some answers no
/// history tells whether they are true, as nothing that is asked later depends on them: that a
/// transaction was aborted, say.
pub fn eventually_told<P: Protocol, I, O, J: Into<Judgement>>(
    name: impl Into<Cow<'static, str>>,
    judge: impl Fn(&[Option<&P>], &[Told<'_, I, O>]) -> J + Send + Sync + 'static,
) -> Property<P, I, O> {
    let judge = move |nodes: &[Option<&P>], told: &[Told<'_, I, O>]| judge(nodes, told).into();
    Property { name: lasting(name), kind: Kind::Eventually(Arc::new(judge)) }
}

/// Sometimes: over a whole sweep, the protocol calls `Context::reach` (or `Context::ignore`) with
/// these very words.
pub fn sometimes<P: Protocol, I, O>(mark: impl Into<Cow<'static, str>>) -> Property<P, I, O> {
    let mark = lasting(mark);
    Property { name: mark, kind: Kind::Sometimes(mark) }
}

/// Sometimes: over a whole sweep, this is so of the history of a run. Without one, a protocol that
/// refuses everything keeps most promises.
///
/// ```
/// # use seedfall::property::{Property, sometimes_in};
/// # use seedfall::sim::Protocol;
/// fn something_is_sold<P: Protocol>() -> Property<P, u32, bool> {
///     sometimes_in("something is sold", |history| {
///         history.operations.iter().any(|one| one.outcome.output() == Some(&true))
///     })
/// }
/// ```
pub fn sometimes_in<P: Protocol, I, O>(
    name: impl Into<Cow<'static, str>>,
    sees: impl Fn(&History<I, O>) -> bool + Send + Sync + 'static,
) -> Property<P, I, O> {
    Property { name: lasting(name), kind: Kind::Seen(Arc::new(sees)) }
}
