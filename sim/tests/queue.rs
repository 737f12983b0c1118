//! The event queue against a model that is too simple to be wrong: a list in the order of pushes.

use seedfall_sim::queue::{Handle, Queue};
use seedfall_sim::{Draws, Seed, Site, Time};

/// What the queue should do. Events are numbered in the order of their pushes.
#[derive(Default)]
struct Model {
    now: u64,
    chosen: u32,
    pending: Vec<(u64, u64)>,
    /// The group of the instant `now`, once a choice was made in it.
    ready: Vec<u64>,
}

impl Model {
    fn push(&mut self, time: u64, event: u64) {
        let time = time.max(self.now);
        self.pending.push((time, event));
        if time == self.now && !self.ready.is_empty() {
            self.ready.push(event);
        }
    }

    fn cancel(&mut self, event: u64) -> Option<u64> {
        let at = self.pending.iter().position(|(_, other)| *other == event)?;
        self.pending.remove(at);
        self.ready.retain(|other| *other != event);
        Some(event)
    }

    fn pop(&mut self, limit: u64, choose: impl Fn(u64, u32, usize) -> usize) -> Option<(u64, u64)> {
        let (time, _) = *self.pending.iter().min_by_key(|(time, _)| *time)?;
        if time > limit {
            return None;
        }
        if time > self.now {
            (self.now, self.chosen) = (time, 0);
            self.ready.clear();
        }
        if self.ready.is_empty() {
            let group = self.pending.iter().filter(|(other, _)| *other == time);
            self.ready = group.map(|(_, event)| *event).collect();
        }
        let picked = match self.ready.len() {
            1 => 0,
            count => choose(time, self.chosen, count),
        };
        self.chosen += 1;
        let event = self.ready.swap_remove(picked);
        self.cancel(event);
        Some((time, event))
    }
}

fn choose(at: u64, chosen: u32, count: usize) -> usize {
    (at.wrapping_mul(31).wrapping_add(u64::from(chosen)) % count as u64) as usize
}

/// One random history: pushes near and far, at the present and in crowds, cancels, pops with and
/// without a limit.
fn compare(seed: u64, steps: usize, crowd: u32) {
    let (mut queue, mut model) = (Queue::default(), Model::default());
    let mut draws = Draws::new(Seed(seed), 1, 0);
    let mut handles: Vec<(Handle, u64)> = Vec::new();
    let mut event = 0;
    for _ in 0..steps {
        let mut draw = draws.draw(Site::Plan);
        let kind = draw.below(10);
        let crowded = handles.len() > crowd as usize;
        if kind < 5 && !crowded {
            // A delay of any number of bits; every eighth on a coarse grid, where many meet, every
            // eighth "never".
            let delay = (u64::from(draw.word()) << 8) >> (40 - draw.below(40));
            let time = match draw.below(8) {
                0 => u64::MAX,
                1 => model.now.saturating_add(delay & !0xFF),
                _ => model.now.saturating_add(delay),
            };
            handles.push((queue.push(Time::from_nanos(time), event), event));
            model.push(time, event);
            event += 1;
        } else if kind < 7 && !handles.is_empty() {
            let at = draw.below(handles.len() as u32) as usize;
            if kind == 5 {
                let (handle, event) = &mut handles[at];
                let time = model.now.saturating_add(u64::from(draw.word() >> draw.below(32)));
                *handle = queue.reschedule(*handle, Time::from_nanos(time));
                model.cancel(*event);
                model.push(time, *event);
            } else {
                let (handle, event) = handles.swap_remove(at);
                assert_eq!(queue.cancel(handle), model.cancel(event));
            }
        } else {
            let limit = match draw.below(3) {
                0 => model.now.saturating_add((draw.word() >> draw.below(32)).into()),
                _ => u64::MAX,
            };
            let popped = queue.pop(Time::from_nanos(limit), &mut choose);
            let expected = model.pop(limit, choose);
            assert_eq!(popped, expected.map(|(time, event)| (Time::from_nanos(time), event)));
            handles.retain(|(_, event)| Some(*event) != expected.map(|(_, event)| event));
        }
        assert_eq!(queue.len(), model.pending.len());
    }
}

#[test]
fn a_queue_agrees_with_the_model() {
    for seed in 0..300 {
        // Few and many pending: the near list alone, and the wheel behind it.
        compare(seed, 2_000, [4, 20, 60, 400][seed as usize % 4]);
    }
}

#[test]
fn a_crowd_at_one_instant_comes_out_as_one_group() {
    let (mut queue, mut model) = (Queue::default(), Model::default());
    for event in 0..500 {
        let time = if event % 2 == 0 { 7 } else { 1_000_000 };
        queue.push(Time::from_nanos(time), event);
        model.push(time, event);
    }
    for _ in 0..600 {
        let popped = queue.pop(Time::MAX, &mut choose);
        let expected = model.pop(u64::MAX, choose);
        assert_eq!(popped, expected.map(|(time, event)| (Time::from_nanos(time), event)));
    }
}
