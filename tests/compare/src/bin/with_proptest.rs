//! With proptest: steps as data, the network a queue of one's own.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use std::collections::VecDeque;
use std::time::Instant;

// begin service
#[derive(Clone, Debug)]
enum Step {
    Write,
    /// One of the messages under way arrives.
    Deliver(usize),
    /// One of them is lost.
    Lose(usize),
    /// 100 ms are over.
    TimeIsUp,
    Read,
}

#[derive(Clone, Debug)]
enum Message {
    Copy(u64),
    Copied(u64),
}

/// Both nodes, and what is between them.
#[derive(Default)]
struct World {
    waiting: Option<u64>,
    second: u64,
    under_way: VecDeque<Message>,
    written: u64,
    answered: u64,
}

impl World {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        let place = |index: usize, len: usize| index.checked_rem(len);
        match step {
            Step::Write if self.waiting.is_none() => {
                self.written += 1;
                self.waiting = Some(self.written);
                self.under_way.push_back(Message::Copy(self.written));
            }
            Step::Deliver(index) => {
                let index = place(*index, self.under_way.len());
                match index.and_then(|index| self.under_way.remove(index)) {
                    Some(Message::Copy(value)) => {
                        self.second = self.second.max(value);
                        self.under_way.push_back(Message::Copied(value));
                    }
                    Some(Message::Copied(value)) if self.waiting == Some(value) => self.answer(),
                    _ => {}
                }
            }
            Step::Lose(index) => {
                let index = place(*index, self.under_way.len());
                index.and_then(|index| self.under_way.remove(index));
            }
            Step::TimeIsUp => self.answer(), // The bug: nobody knows whether the second has it.
            Step::Read if self.second < self.answered => {
                return Err(format!("{} was answered, and {} is read", self.answered, self.second));
            }
            Step::Read | Step::Write => {}
        }
        Ok(())
    }

    fn answer(&mut self) {
        self.answered = self.waiting.take().unwrap_or(self.answered);
    }
}
// end service

// begin test
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Write),
        any::<usize>().prop_map(Step::Deliver),
        any::<usize>().prop_map(Step::Lose),
        Just(Step::TimeIsUp),
        Just(Step::Read),
    ];
    prop::collection::vec(step, 1..100)
}

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::default();
    steps.iter().try_for_each(|step| world.step(step)).map_err(TestCaseError::fail)
}
// end test

fn main() {
    let started = Instant::now();
    let runs = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let found = runner.run(&steps(), |steps| {
        runs.set(runs.get() + 1);
        run(&steps)
    });
    let seconds = started.elapsed().as_secs_f64();
    if let Err(TestError::Fail(why, steps)) = found {
        println!("proptest: {} runs with shrinking, {seconds:.3} s: {why}: {steps:?}", runs.get());
    }
}
