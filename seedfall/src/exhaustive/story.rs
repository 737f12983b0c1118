//! A counterexample in words, and back.

use super::Counterexample;
use super::locals::{Input, Message, Outcome};
use super::space::{Action, Broken, Next, Space, Step};
use seedfall_sim::{ClientId, Monitor, NodeId, Protocol};
use std::fmt;
use std::hash::Hash;

/// Why a counterexample is none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// A step cannot be taken where it is.
    Impossible {
        /// Which, counted from zero.
        index: usize,
        /// Its words.
        step: String,
        /// The words of those that can.
        possible: Vec<String>,
    },
    /// All steps were taken, and nothing is broken.
    NothingBroken,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible { index, step, possible } => {
                write!(f, "step {} cannot be taken: {step}\n  possible:", index + 1)?;
                possible.iter().try_for_each(|one| write!(f, "\n    {one}"))
            }
            Self::NothingBroken => f.write_str("all steps were taken, and no property is broken"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Takes steps again, and says what they are and what came of each.
pub(super) fn tell<P, I, O, M>(
    space: &mut Space<P, I, O, M>,
    first: &[u32],
    steps: &[Step],
    broken: Broken,
) -> Counterexample
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
{
    let (mut row, mut next) = (first.to_vec(), Next::default());
    let (mut words, mut effects) = (Vec::new(), Vec::new());
    for step in steps {
        words.push(space.words(&row, *step));
        effects.push(space.effects(&row, *step));
        space.next(&row, &mut next);
        if let Some(at) = next.steps.iter().position(|(one, ..)| one == step) {
            row = next.row(at).to_vec();
        }
    }
    let Broken { property, explanation } = broken;
    Counterexample { property, explanation, steps: words, effects }
}

pub(super) fn replay<P, I, O, M, S>(
    mut space: Space<P, I, O, M>,
    monitor: M,
    steps: &[S],
) -> Result<Counterexample, ReplayError>
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
    S: AsRef<str>,
{
    let told = |broken: Broken| Counterexample {
        property: broken.property,
        explanation: broken.explanation,
        steps: Vec::new(),
        effects: Vec::new(),
    };
    let first = match space.first(monitor) {
        Ok(first) => first,
        Err(broken) => return Ok(told(broken)),
    };
    let (mut row, mut next, mut taken) = (first.clone(), Next::default(), Vec::new());
    for (index, step) in steps.iter().enumerate() {
        space.next(&row, &mut next);
        if let Some((last, broken)) = next.broken.take()
            && space.words(&row, last) == step.as_ref()
        {
            taken.push(last);
            return Ok(tell(&mut space, &first, &taken, broken));
        }
        let possible: Vec<String> =
            next.steps.iter().map(|(step, ..)| space.words(&row, *step)).collect();
        let Some(at) = possible.iter().position(|words| words == step.as_ref()) else {
            let step = step.as_ref().to_owned();
            return Err(ReplayError::Impossible { index, step, possible });
        };
        taken.push(next.steps[at].0);
        row = next.row(at).to_vec();
    }
    Err(ReplayError::NothingBroken)
}

impl<P, I, O, M> Space<P, I, O, M>
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
{
    /// A step, in words that no other step from the same state has.
    fn words(&mut self, row: &[u32], step: Step) -> String {
        let node = |index: u16| NodeId::new(index);
        let words = match step.action {
            Action::Deliver { message, stays } => {
                let Message { from, to, body } = self.locals.messages.get(message);
                let copy = if stays { "a copy of " } else { "" };
                format!("{to} receives {copy}{body:?} from {from}")
            }
            Action::Ring { node: at, timer } => {
                format!("{}'s timer {:?} rings", node(at), self.locals.timers.get(timer))
            }
            Action::Call { client, node: at } => {
                format!("{} asks {}", ClientId::new(client), node(at))
            }
            Action::Crash { node: at, keeps: false } => format!("{} crashes", node(at)),
            Action::Crash { node: at, keeps: true } => {
                format!("{} crashes, and its disk has all that was written", node(at))
            }
            Action::Start { node: at } => format!("{} comes up", node(at)),
        };
        match self.outcome(row, step).cut {
            None => words,
            Some((done, keeps)) => {
                let kept = if keeps { "keeps" } else { "loses" };
                format!("{words}; {done} effects later it crashes, and {kept} what is not synced")
            }
        }
    }

    fn outcome(&mut self, row: &[u32], step: Step) -> Outcome {
        let (node, input) = self.input(row, step.action);
        let (first, _) = self.locals.outcomes(row[node], input);
        self.locals.outcome(first + u32::from(step.cut)).clone()
    }

    /// What came of a step: what was asked, sent, answered.
    fn effects(&mut self, row: &[u32], step: Step) -> Vec<String> {
        let outcome = self.outcome(row, step);
        let mut words = Vec::new();
        if let (_, Input::Request(request)) = self.input(row, step.action) {
            let (id, body) = self.locals.requests.get(request);
            words.push(format!("{id} asks {body:?}"));
        }
        words.extend(outcome.sends.iter().map(|message| {
            let Message { to, body, .. } = self.locals.messages.get(*message);
            format!("sends {to} {body:?}")
        }));
        words.extend(outcome.answers.iter().map(|(request, answer)| {
            format!("answers {request} {:?}", self.locals.answers.get(*answer))
        }));
        words
    }
}
