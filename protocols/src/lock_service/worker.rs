//! A worker: it does what clients ask, one after the other, while it holds the lock.

use super::{Config, Data, Message, Node, RESOURCE, Request, Response, SERVER, Stamp, Timer};
use seedfall_sim::{Context, Duration, RequestId, Time};
use std::collections::VecDeque;

/// Does what clients ask, under the lock.
#[derive(Clone, Debug)]
pub struct Worker {
    config: Config,
    requests: VecDeque<(RequestId, Request)>,
    /// Its request for the lock, and when it began.
    ask: Option<(u64, Time)>,
    /// The number of its last request for the lock.
    asked: u64,
    /// Requests that are over, which the server has not been told.
    released: Vec<u64>,
    /// What it is at, while it holds the lock.
    at: Option<Work>,
    holds: Vec<Held>,
    /// When it touched the resource last: for those who watch.
    touched: Time,
}

/// A grant, as its worker saw it, in times of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its token.
    pub token: u64,
    /// When the worker asked for it.
    pub asked: Time,
    /// When it knew that it had it.
    pub granted: Time,
    /// Until when it knew that it had it.
    pub until: Time,
}

#[derive(Clone, Debug)]
struct Work {
    stamp: Stamp,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    Idle,
    Reading,
    Writing { data: Data, answer: i64 },
}

impl Worker {
    pub(super) fn start(config: Config) -> Self {
        Self {
            config,
            requests: VecDeque::new(),
            ask: None,
            asked: 0,
            released: Vec::new(),
            at: None,
            holds: Vec::new(),
            touched: Time::ZERO,
        }
    }

    /// The grants of this life, in their order.
    pub fn grants(&self) -> &[Held] {
        &self.holds
    }

    pub(super) fn holds(&self) -> bool {
        self.at.is_some()
    }

    /// Until when it believes that it holds the lock, on its own clock, if it does.
    pub fn lease(&self) -> Option<Time> {
        self.at.as_ref().map(|_| self.until())
    }

    /// When it touched the resource last, and until when it held the lock then.
    pub(super) fn touched(&self) -> (Time, Time) {
        (self.touched, self.until())
    }

    /// Under which access it was told what it writes back, if it was.
    pub(super) fn was_told(&self) -> Option<Stamp> {
        let work = self.at.as_ref()?;
        matches!(work.step, Step::Writing { .. }).then_some(work.stamp)
    }

    /// Until when its lease lasts, if it has one.
    fn until(&self) -> Time {
        self.holds.last().map_or(Time::ZERO, |held| held.until)
    }

    pub(super) fn on_request(&mut self, id: RequestId, body: Request, ctx: &mut Context<'_, Node>) {
        if self.requests.iter().any(|(other, _)| *other == id) {
            return ctx.ignore("request: already under way");
        }
        self.requests.push_back((id, body));
        self.go_on(ctx);
    }

    /// Asks for the lock, begins with the next request, or gives the lock back.
    fn go_on(&mut self, ctx: &mut Context<'_, Node>) {
        if self.requests.is_empty() {
            return self.give_back(ctx);
        }
        if self.ask.is_none() {
            // No two requests have one number, also not of two lives: the clock never goes back.
            self.asked = ctx.now().as_nanos().max(self.asked + 1);
            self.ask = Some((self.asked, ctx.now()));
            return self.keep_alive(ctx);
        }
        if let Some(Work { stamp, step: step @ Step::Idle }) = &mut self.at {
            stamp.number += 1;
            *step = Step::Reading;
            self.retry(ctx);
        }
    }

    /// The lock is not wanted, or lost.
    fn give_back(&mut self, ctx: &mut Context<'_, Node>) {
        if self.at.take().is_some()
            && let Some(held) = self.holds.last_mut()
        {
            held.until = held.until.min(ctx.now());
        }
        // First it stops, then it says so: if it crashes in between, the lease runs out.
        if let Some((ask, _)) = self.ask.take() {
            self.released.push(ask);
            ctx.set_timer(Timer::Release, Duration::ZERO);
        }
        ctx.cancel_timer(Timer::KeepAlive);
        ctx.cancel_timer(Timer::Retry);
    }

    /// It has stopped, and says so.
    pub(super) fn release(&mut self, ctx: &mut Context<'_, Node>) {
        for ask in std::mem::take(&mut self.released) {
            ctx.send(SERVER, Message::Release { ask });
        }
    }

    /// Whether its lease is over; then it begins anew.
    fn is_too_late(&mut self, ctx: &mut Context<'_, Node>) -> bool {
        let late = self.at.is_some() && self.until() <= ctx.now();
        if late {
            ctx.reach("worker: its lease has run out");
            self.give_back(ctx);
            self.go_on(ctx);
        }
        late
    }

    /// Says that it is there.
    pub(super) fn keep_alive(&mut self, ctx: &mut Context<'_, Node>) {
        if self.is_too_late(ctx) {
            return;
        }
        let Some((ask, _)) = self.ask else { return };
        let token = self.at.as_ref().map(|work| work.stamp.token);
        ctx.send(SERVER, Message::Want { ask, sent: ctx.now(), token });
        ctx.set_timer(Timer::KeepAlive, self.config.keep_alive);
    }

    /// The server has heard it, and perhaps granted the lock.
    pub(super) fn on_alive(
        &mut self,
        ask: u64,
        sent: Time,
        token: Option<u64>,
        ctx: &mut Context<'_, Node>,
    ) {
        let Some((_, asked)) = self.ask.filter(|(own, _)| *own == ask) else {
            return ctx.ignore("alive: of a request that is over");
        };
        let Some(token) = token else { return };
        let until = sent + self.config.lease;
        let granted = ctx.now();
        let last = self.holds.last_mut();
        match last {
            Some(held) if token < held.token => {
                return ctx.ignore("alive: of an earlier grant");
            }
            Some(held) if token == held.token => held.until = held.until.max(until),
            last => {
                // The grant before was lost, and it has not noticed.
                if let Some(held) = last.filter(|_| self.at.is_some()) {
                    held.until = held.until.min(granted);
                }
                self.holds.push(Held { token, asked, granted, until: until.max(granted) });
                self.at = Some(Work { stamp: Stamp { token, number: 0 }, step: Step::Idle });
            }
        }
        if !self.is_too_late(ctx) {
            self.go_on(ctx);
        }
    }

    /// Asks the resource, for the first time or again.
    pub(super) fn retry(&mut self, ctx: &mut Context<'_, Node>) {
        if self.is_too_late(ctx) {
            return;
        }
        let Some(Work { stamp, step }) = &self.at else { return };
        let message = match step {
            Step::Idle => return,
            Step::Reading => Message::Read(*stamp),
            Step::Writing { data, .. } => Message::Write(*stamp, data.clone()),
        };
        self.touched = ctx.now();
        ctx.send(RESOURCE, message);
        ctx.set_timer(Timer::Retry, self.config.retry);
    }

    /// What it is at, if this is about that.
    fn at(&mut self, stamp: Stamp) -> Option<&mut Work> {
        self.at.as_mut().filter(|work| work.stamp == stamp)
    }

    /// It has read: computes, and writes back.
    pub(super) fn on_value(&mut self, stamp: Stamp, mut data: Data, ctx: &mut Context<'_, Node>) {
        if !matches!(self.at(stamp), Some(Work { step: Step::Reading, .. })) {
            return ctx.ignore("value: not what it is at");
        }
        if self.is_too_late(ctx) {
            return;
        }
        let (id, Request { add }) = self.requests[0];
        let before = data.updates.get(&id.client).copied();
        let Some(add) = add else { return self.answer(Some(data.value), ctx) };
        if let Some((number, value)) = before.filter(|(number, _)| id.number <= *number) {
            ctx.reach("worker: the update was made before");
            return self.answer((number == id.number).then_some(value), ctx);
        }
        data.value += add;
        data.updates.insert(id.client, (id.number, data.value));
        let answer = data.value;
        let work = self.at.as_mut().expect("looked at above");
        work.stamp.number += 1;
        work.step = Step::Writing { data, answer };
        self.retry(ctx);
    }

    /// It has written.
    pub(super) fn on_written(&mut self, stamp: Stamp, ctx: &mut Context<'_, Node>) {
        match self.at(stamp) {
            Some(Work { step: Step::Writing { answer, .. }, .. }) => {
                let answer = *answer;
                self.answer(Some(answer), ctx);
            }
            _ => ctx.ignore("written: not what it is at"),
        }
    }

    /// A later holder was there: the lock is lost.
    pub(super) fn on_refused(&mut self, stamp: Stamp, ctx: &mut Context<'_, Node>) {
        if self.at(stamp).is_none() {
            return ctx.ignore("refused: not what it is at");
        }
        ctx.reach("worker: it is fenced off");
        self.give_back(ctx);
        self.go_on(ctx);
    }

    /// The first request is done; its client may have gone on.
    fn answer(&mut self, value: Option<i64>, ctx: &mut Context<'_, Node>) {
        let (id, _) = self.requests.pop_front().expect("it is at the first one");
        if let Some(value) = value {
            ctx.respond(id, Response::Value(value));
        }
        if let Some(work) = &mut self.at {
            work.step = Step::Idle;
        }
        ctx.cancel_timer(Timer::Retry);
        self.go_on(ctx);
    }

    pub(super) fn waits(&self) -> String {
        match (&self.at, self.requests.front()) {
            (_, None) => String::new(),
            (None, Some((id, _))) => format!("{id}: for the lock"),
            (Some(work), Some((id, _))) => format!("{id}: {:?}", work.step),
        }
    }
}
