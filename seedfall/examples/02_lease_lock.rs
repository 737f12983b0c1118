//! 02: a lease lock, without a fencing token and with one.
//!
//! You learn: nodes of several kinds, each a type of its own ([`Roles`]), timers, and a bug that
//! takes a pause or a late message to show: a lease may be over, and its holder does not know
//! (Kleppmann, *How to do distributed locking*, 2016).
//!
//! `n1` lends the lock for a while, `n2` keeps a counter, the others are workers: a worker that is
//! asked to count takes the lock, reads the counter and writes one more. Two that do so at once
//! lose an increment. With fencing, the counter refuses whoever comes with an older token than it
//! has seen.
//!
//! `cargo run -p seedfall --example 02_lease_lock` shows the failure.

#![allow(clippy::print_stdout, reason = "an example prints")]

use seedfall::net::Delay;
use seedfall::prelude::*;

use std::collections::BTreeSet;

const LOCK: NodeId = NodeId::new(0);
const COUNTER: NodeId = NodeId::new(1);
/// How long a lease lasts.
const LEASE: Duration = Duration::millis(30);
/// How long a worker tries before it gives up a job: it does not look at the clock in between.
const PATIENCE: Duration = Duration::millis(150);

/// What nodes say to each other. Tokens count the leases.
#[derive(Clone, Copy, Debug, Hash)]
enum Message {
    /// Worker to lock.
    Acquire,
    /// Lock to worker, and back when the worker is done.
    Lease(u64),
    Release(u64),
    /// Worker to counter: the total, please; and a new one.
    Read(u64),
    Write(u64, u64),
    /// Counter to worker: the total, under the same token.
    Total(u64, u64),
    Written(u64, u64),
}

/// The cluster: n1, n2, and all others.
type Node = Roles<Lock, Roles<Counter, Worker>>;

/// Lends itself for a while.
struct Lock {
    /// The last token.
    token: u64,
    is_lent: bool,
}

impl Protocol for Lock {
    type Config = ();
    type Message = Message;
    /// The lease is over.
    type Timer = ();
    /// A token.
    type Record = u64;
    type Request = ();
    type Response = Option<u64>;

    fn start(_: NodeId, (): &(), journal: &[u64], _: &mut Context<Self>) -> Self {
        Self { token: journal.last().copied().unwrap_or_default(), is_lent: false }
    }

    fn on_request(&mut self, request: RequestId, (): (), ctx: &mut Context<Self>) {
        ctx.respond(request, None);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<Self>) {
        match message {
            Message::Acquire if self.is_lent => ctx.ignore("the lock is lent"),
            Message::Acquire => {
                self.token += 1;
                self.is_lent = true;
                ctx.append(self.token);
                ctx.sync();
                ctx.send(from, Message::Lease(self.token));
                ctx.set_timer((), LEASE);
            }
            Message::Release(token) if token == self.token => self.is_lent = false,
            _ => ctx.ignore("late"),
        }
    }

    fn on_timer(&mut self, (): (), _: &mut Context<Self>) {
        self.is_lent = false;
    }
}

/// Keeps a total.
struct Counter {
    /// Whether it refuses whoever comes with an older token than it has seen.
    fenced: bool,
    /// The greatest token it has seen.
    token: u64,
    total: u64,
}

impl Protocol for Counter {
    /// Whether it looks at tokens.
    type Config = bool;
    type Message = Message;
    type Timer = ();
    /// Token and total.
    type Record = (u64, u64);
    type Request = ();
    type Response = Option<u64>;

    fn start(_: NodeId, fenced: &bool, journal: &[(u64, u64)], _: &mut Context<Self>) -> Self {
        let (token, total) = journal.last().copied().unwrap_or_default();
        Self { fenced: *fenced, token, total }
    }

    fn on_request(&mut self, request: RequestId, (): (), ctx: &mut Context<Self>) {
        ctx.respond(request, None);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<Self>) {
        let (token, total) = match message {
            Message::Read(token) => (token, self.total),
            Message::Write(token, total) => (token, total),
            _ => return ctx.ignore("late"),
        };
        if self.fenced && token < self.token {
            return ctx.ignore("the lease was over");
        }
        (self.token, self.total) = (token, total);
        ctx.append((token, total));
        ctx.sync();
        match message {
            Message::Read(_) => ctx.send(from, Message::Total(token, total)),
            _ => ctx.send(from, Message::Written(token, total)),
        }
    }
}

/// Takes the lock, reads the total and writes one more.
struct Worker {
    /// The job at hand, and its token once there is one.
    job: Option<(RequestId, Option<u64>)>,
}

impl Protocol for Worker {
    type Config = ();
    type Message = Message;
    /// Time to give up.
    type Timer = ();
    type Record = ();
    type Request = ();
    /// The new total; `None`: not a worker, or busy.
    type Response = Option<u64>;

    fn start(_: NodeId, (): &(), _: &[()], _: &mut Context<Self>) -> Self {
        Self { job: None }
    }

    fn on_request(&mut self, request: RequestId, (): (), ctx: &mut Context<Self>) {
        if self.job.is_some() {
            return ctx.respond(request, None);
        }
        self.job = Some((request, None));
        ctx.send(LOCK, Message::Acquire);
        ctx.set_timer((), PATIENCE);
    }

    fn on_message(&mut self, _: NodeId, message: Message, ctx: &mut Context<Self>) {
        match (message, self.job) {
            (Message::Lease(token), Some((request, None))) => {
                self.job = Some((request, Some(token)));
                ctx.send(COUNTER, Message::Read(token));
            }
            (Message::Total(token, total), Some((_, Some(mine)))) if token == mine => {
                ctx.send(COUNTER, Message::Write(token, total + 1));
            }
            (Message::Written(token, total), Some((request, Some(mine)))) if token == mine => {
                self.job = None;
                ctx.respond(request, Some(total));
                ctx.send(LOCK, Message::Release(token));
            }
            _ => ctx.ignore("late"),
        }
    }

    fn on_timer(&mut self, (): (), _: &mut Context<Self>) {
        self.job = None;
    }
}

/// No two clients are told the same total: nobody's increment is lost.
fn no_total_twice(history: &History<(), u64>) -> Result<(), String> {
    let mut told = BTreeSet::new();
    let mut totals = history.operations.iter().filter_map(|one| one.outcome.output());
    match totals.find(|total| !told.insert(**total)) {
        Some(total) => Err(format!("two increments came to {total}: one of them is lost")),
        None => Ok(()),
    }
}

fn scenario(fenced: bool) -> Scenario<Node, (), u64> {
    Scenario {
        name: "lease-lock",
        story: "Two workers count for two clients, under a lock that is lent for a while.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(4, 2),
        config: Cast { until: 1, first: (), rest: Cast { until: 2, first: fenced, rest: () } },
        workload: Workload {
            operations: 20,
            think: Delay::Uniform { min: Duration::millis(5), max: Duration::millis(50) },
            ..Workload::short(
                |_, _| (),
                |_, ()| (),
                |total: Option<u64>| total.map_or(Reply::Elsewhere(None), Reply::Done),
            )
        },
        // Nodes that stand still for a while, and do not know it: garbage collection, a hypervisor.
        faults: Swarm { pauses: 6, crashes: 2, loss: 50_000, ..Swarm::NONE },
        horizon: Horizon::SHORT,
        properties: vec![
            always("no increment is lost", no_total_twice),
            every_operation_completes(),
            sometimes("the lock is lent"),
        ],
        expect: Expect::Holds,
    }
}

/// The lock alone does not protect the counter.
#[test]
fn without_fencing_increments_are_lost() {
    let why = seedfall::testing::check_seeds(&scenario(false), 0..500);
    assert!(why.expect_err("it fails").contains("one of them is lost"));
}

#[test]
fn with_fencing_none_is_lost() {
    check(scenario(true));
}

fn main() {
    for fenced in [false, true] {
        match seedfall::testing::check_seeds(&scenario(fenced), 0..500) {
            Ok(()) => println!("fenced: {fenced}: 500 seeds, every property holds"),
            Err(failure) => println!("fenced: {fenced}:\n{failure}\n"),
        }
    }
}
