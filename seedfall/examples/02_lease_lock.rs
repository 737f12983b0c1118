//! 02: a lease lock, without a fencing token and with one.
//!
//! You learn: several roles in one protocol, timers, and a bug that takes a pause or a late message
//! to show: a lease may be over, and its holder does not know (Kleppmann, *How to do distributed
//! locking*, 2016).
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Timer {
    LeaseIsOver,
    GiveUp,
}

/// A node, whatever its role: what it does not need stays empty.
struct Node {
    fenced: bool,
    /// Lock: the last token, and whether it is lent. Counter: the greatest token it has seen.
    token: u64,
    is_lent: bool,
    total: u64,
    /// Worker: the job at hand, and its token once there is one.
    job: Option<(RequestId, Option<u64>)>,
}

impl Protocol for Node {
    /// Whether the counter looks at tokens.
    type Config = bool;
    type Message = Message;
    type Timer = Timer;
    /// Token and total.
    type Record = (u64, u64);
    type Request = ();
    /// The new total; `None`: not a worker, or busy.
    type Response = Option<u64>;

    fn start(_: NodeId, fenced: &bool, journal: &[(u64, u64)], _: &mut Context<Self>) -> Self {
        let (token, total) = journal.last().copied().unwrap_or_default();
        Self { fenced: *fenced, token, is_lent: false, total, job: None }
    }

    fn on_request(&mut self, request: RequestId, (): (), ctx: &mut Context<Self>) {
        if ctx.id() == LOCK || ctx.id() == COUNTER || self.job.is_some() {
            return ctx.respond(request, None);
        }
        self.job = Some((request, None));
        ctx.send(LOCK, Message::Acquire);
        ctx.set_timer(Timer::GiveUp, PATIENCE);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<Self>) {
        match (message, self.job) {
            (Message::Acquire, _) if self.is_lent => ctx.ignore("the lock is lent"),
            (Message::Acquire, _) => {
                self.token += 1;
                self.is_lent = true;
                ctx.append((self.token, 0));
                ctx.sync();
                ctx.send(from, Message::Lease(self.token));
                ctx.set_timer(Timer::LeaseIsOver, LEASE);
            }
            (Message::Release(token), _) if token == self.token => self.is_lent = false,
            (Message::Lease(token), Some((request, None))) => {
                self.job = Some((request, Some(token)));
                ctx.send(COUNTER, Message::Read(token));
            }
            (Message::Read(token) | Message::Write(token, _), _)
                if self.fenced && token < self.token =>
            {
                ctx.ignore("the lease was over");
            }
            (Message::Read(token), _) => {
                self.token = token;
                ctx.append((token, self.total));
                ctx.sync();
                ctx.send(from, Message::Total(token, self.total));
            }
            (Message::Write(token, total), _) => {
                (self.token, self.total) = (token, total);
                ctx.append((token, total));
                ctx.sync();
                ctx.send(from, Message::Written(token, total));
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

    fn on_timer(&mut self, timer: Timer, _: &mut Context<Self>) {
        match timer {
            Timer::LeaseIsOver => self.is_lent = false,
            Timer::GiveUp => self.job = None,
        }
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
        config: fenced,
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
