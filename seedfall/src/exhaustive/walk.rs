//! Breadth first.

use super::space::{Broken, Next, Space, Step};
use super::story;
use super::tables::{Origin, Visited};
use super::{Bounds, Counterexample, Exploration, Extent};
use seedfall_sim::{Monitor, Protocol};
use std::hash::Hash;

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// States that were met.
    pub states: u32,
    /// How many steps they are from the first.
    pub depth: u32,
    /// Of those at this depth, how many are to be gone on from.
    pub left: usize,
}

/// After how many states progress is told.
const TELL: usize = 1 << 16;

/// The states of one depth, from which the search goes on.
#[derive(Default)]
struct Rows {
    words: Vec<u32>,
    /// The number of each, and where its row ends.
    rows: Vec<(u32, usize)>,
}

impl Rows {
    fn push(&mut self, number: u32, row: &[u32]) {
        self.words.extend_from_slice(row);
        self.rows.push((number, self.words.len()));
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &[u32])> {
        let mut from = 0;
        self.rows.iter().map(move |&(number, to)| {
            let row = &self.words[from..to];
            from = to;
            (number, row)
        })
    }

    fn clear(&mut self) {
        self.words.clear();
        self.rows.clear();
    }
}

/// A step that breaks something: where it is taken, which it is, and what it breaks.
type Found = (u32, Step, Broken);

pub(super) fn walk<P, I, O, M>(
    mut space: Space<P, I, O, M>,
    monitor: M,
    progress: &mut dyn FnMut(Progress),
) -> Exploration
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
{
    let mut found = Exploration {
        extent: Extent::Complete,
        bounds: space.bounds,
        states: 1,
        steps: 0,
        depth: 0,
        ends: (0, 0),
        handlers: 0,
        undecided: 0,
        marks: Vec::new(),
        bytes: 0,
        counterexample: None,
    };
    let mut visited = Visited::default();
    match space.first(monitor) {
        Ok(first) => {
            let broken = levels(&mut space, &mut visited, &first, &mut found, progress);
            found.states = visited.len();
            found.counterexample = broken.map(|(parent, step, broken)| {
                let mut steps = path(&visited, parent);
                steps.push(step);
                story::tell(&mut space, &first, &steps, broken)
            });
        }
        Err(Broken { property, explanation }) => {
            let (steps, effects) = (Vec::new(), Vec::new());
            found.counterexample = Some(Counterexample { property, explanation, steps, effects });
        }
    }
    found.handlers = space.locals.handlers();
    found.undecided = space.histories.undecided;
    found.bytes = visited.bytes();
    found.marks = space.locals.marks;
    found.marks.sort_unstable();
    found
}

/// Depth after depth, until nothing is new, or something is broken, or a bound is met.
fn levels<P, I, O, M>(
    space: &mut Space<P, I, O, M>,
    visited: &mut Visited,
    first: &[u32],
    found: &mut Exploration,
    progress: &mut dyn FnMut(Progress),
) -> Option<Found>
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
{
    let Bounds { depth, states, .. } = space.bounds;
    let (mut level, mut deeper, mut next) = (Rows::default(), Rows::default(), Next::default());
    let mut least = Vec::new();
    space.least(first, &mut least);
    visited.insert(&least, Origin { parent: 0, action: [0, 0] });
    level.push(0, first);
    while !level.rows.is_empty() {
        if found.depth == depth {
            found.extent = Extent::Depth(depth);
            return None;
        }
        let rows = level.rows.len();
        for (done, (number, row)) in level.iter().enumerate() {
            if done % TELL == 0 {
                let (states, depth) = (visited.len(), found.depth);
                progress(Progress { states, depth, left: rows - done });
            }
            space.next(row, &mut next);
            if let Some((step, broken)) = next.broken.take() {
                found.depth += 1;
                return Some((number, step, broken));
            }
            found.steps += next.steps.len() as u64;
            if next.steps.is_empty() {
                found.ends.0 += 1;
                found.ends.1 += u32::from(space.waits(row));
            }
            for at in 0..next.steps.len() {
                let (step, _, within) = next.steps[at];
                let origin = Origin { parent: number, action: step.pack() };
                space.least(next.row(at), &mut least);
                let Some(new) = visited.insert(&least, origin) else { continue };
                if within {
                    deeper.push(new, next.row(at));
                }
            }
            if states <= visited.len() {
                found.extent = Extent::States(found.depth);
                return None;
            }
        }
        if !deeper.rows.is_empty() {
            found.depth += 1;
        }
        std::mem::swap(&mut level, &mut deeper);
        deeper.clear();
    }
    None
}

/// The steps that led to a state.
fn path(visited: &Visited, mut number: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    while number != 0 {
        let Origin { parent, action } = visited.origin(number);
        steps.push(Step::unpack(action));
        number = parent;
    }
    steps.reverse();
    steps
}
