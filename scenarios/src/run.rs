//! One run: a scenario, a seed, a verdict.

mod broken;
mod trial;

pub use trial::{Call, Fork, Trial};

use crate::crowd::Crowd;
use crate::nemesis::Nemesis;
use crate::plan::{FaultPlan, Frame};
use crate::promise::{Judgement, Kind};
use crate::report::{Conclusion, Failure, FailureKind, Report};
use crate::scenario::{Expect, OperationId, Scenario};
use seedfall_checkers::{Operation, Outcome};
use seedfall_net::Wire;
use seedfall_sim::{
    DrawAddress, Duration, Monitor, NodeId, Nodes, Protocol, Seed, Setup, Site, Step, SystemModel,
    Time, World,
};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use broken::Broken;

/// A scenario of any protocol, as the commands and tests see it.
pub trait Runnable: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What happens in it.
    fn story(&self) -> &'static str;
    /// Whether its promises are expected to hold.
    fn expect(&self) -> Expect;
    /// What it promises, in words: `always linearizable`.
    fn promises(&self) -> Vec<String>;
    /// The marks that a sweep must reach.
    fn sometimes(&self) -> Vec<&'static str>;
    /// What a fault plan must fit into.
    fn frame(&self) -> Frame;
    /// The operations of its workload, those after the faults included.
    fn operations(&self) -> Vec<OperationId>;
    /// The faults that a seed draws within a frame.
    fn plan_within(&self, seed: Seed, frame: &Frame) -> FaultPlan;
    /// With how few nodes it makes sense.
    fn fewest(&self) -> usize;
    /// Runs it once. The plan of the trial must fit the [`Runnable::frame_of`] it.
    fn run(&self, trial: &Trial) -> Report;

    /// What it assumes.
    fn model(&self) -> SystemModel {
        self.frame().model
    }

    /// The faults that a seed draws.
    fn plan(&self, seed: Seed) -> FaultPlan {
        self.plan_within(seed, &self.frame())
    }

    /// What a fault plan must fit into under another model: where that lets nodes lie, and this one
    /// does not, one of them may.
    fn frame_under(&self, model: SystemModel) -> Frame {
        let own = self.frame();
        let more = usize::from(own.model.nodes < model.nodes && model.nodes == Nodes::Byzantine);
        Frame { model, spare: own.spare.max(more), ..own }
    }

    /// What the fault plan of a trial must fit into. With every node that does not take part the
    /// cluster can spare one less.
    fn frame_of(&self, trial: &Trial) -> Frame {
        let all = trial.model.map_or_else(|| self.frame(), |model| self.frame_under(model));
        let nodes = trial.nodes.map_or(all.nodes, |nodes| nodes.min(all.nodes));
        let faults = trial.faults.map_or(all.faults, |faults| faults.min(all.faults));
        Frame { nodes, faults, spare: all.spare.saturating_sub(all.nodes - nodes), ..all }
    }
}

impl<P, I, O> Runnable for Scenario<P, I, O>
where
    P: Protocol + 'static,
    P::Config: Send + Sync,
    I: Debug + 'static,
    O: Debug + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn story(&self) -> &'static str {
        self.story
    }

    fn expect(&self) -> Expect {
        self.expect
    }

    fn promises(&self) -> Vec<String> {
        self.promises.iter().map(|promise| format!("{promise:?}")).collect()
    }

    fn sometimes(&self) -> Vec<&'static str> {
        let marks = self.promises.iter().filter_map(|promise| match promise.kind {
            Kind::Sometimes(mark) => Some(mark),
            _ => None,
        });
        marks.collect()
    }

    fn frame(&self) -> Frame {
        Frame {
            model: self.model,
            nodes: self.cluster.nodes,
            clients: self.cluster.clients,
            spare: self.cluster.spare,
            faults: self.horizon.faults,
        }
    }

    fn operations(&self) -> Vec<OperationId> {
        let numbers = 0..self.workload.operations + self.workload.final_operations;
        let clients = 0..self.cluster.clients as u16;
        let of = |client| seedfall_sim::ClientId::new(client);
        clients
            .flat_map(|client| {
                numbers.clone().map(move |number| OperationId { client: of(client), number })
            })
            .collect()
    }

    fn plan_within(&self, seed: Seed, frame: &Frame) -> FaultPlan {
        self.faults.draw(seed, frame)
    }

    fn fewest(&self) -> usize {
        self.cluster.fewest
    }

    fn run(&self, trial: &Trial) -> Report {
        let frame = self.frame_of(trial);
        let plan = trial.plan.clone();
        let plan = plan.unwrap_or_else(|| self.plan_within(trial.seed, &frame));
        if let Err(error) = plan.check(&frame) {
            // Plans from outside are checked where they are read; a drawn one that does not fit is
            // our own bug.
            panic!("the plan does not fit scenario {}: {error}", self.name);
        }
        let mut run = Run {
            scenario: self,
            trial,
            frame,
            look_at: next_look(trial, 0).min(self.horizon.events + 1),
            nemesis: Nemesis::new(plan.clone(), Time::ZERO + frame.faults),
            monitors: Vec::new(),
            world: None,
            settled_check: Time::ZERO,
            when_over: None,
        };
        // The seam between a broken protocol, which may panic, and the sweep, which goes on.
        let broken = match catch_unwind(AssertUnwindSafe(|| run.go())) {
            Ok(Ok(())) => run.judge(),
            Ok(Err(broken)) => Some(broken),
            Err(panic) => Some(Broken::panicked(panic.as_ref())),
        };
        run.report(plan, broken)
    }
}

/// At how many events, `from` or more, a trial asks for something to be done.
fn next_look(trial: &Trial, from: u64) -> u64 {
    let forks = trial.fork.map(|fork| fork.after);
    let asked = forks.into_iter().chain(trial.until).chain(trial.fix);
    asked.filter(|at| from <= *at).min().unwrap_or(u64::MAX)
}

/// How often an `eventually` is looked at while it does not hold yet.
const SETTLED_EVERY: Duration = Duration::millis(10);

struct Run<'a, P: Protocol, I, O> {
    scenario: &'a Scenario<P, I, O>,
    trial: &'a Trial,
    frame: Frame,
    /// At how many events there is something to be done: the fork, the fix, the end that the trial
    /// asks for, or the end of patience.
    look_at: u64,
    nemesis: Nemesis,
    monitors: Vec<(&'static str, Box<dyn Monitor<P>>)>,
    world: Option<World<P, Wire, Crowd<P, I, O>>>,
    settled_check: Time,
    /// What faults had done when the plan was over: from then on they do nothing more.
    when_over: Option<[u64; 15]>,
}

impl<P: Protocol, I: Debug, O: Debug> Run<'_, P, I, O> {
    /// The run up to its end, or up to the first broken promise.
    fn go(&mut self) -> Result<(), Broken> {
        self.begin();
        for node in NodeId::all(self.frame.nodes) {
            self.observe(node)?;
        }
        let end = Time::ZERO + self.frame.faults + self.scenario.horizon.settle;
        loop {
            let act_at = self.nemesis.next_at();
            if act_at.is_none() && self.when_over.is_none() {
                self.when_over = Some(self.fault_effects());
            }
            let limit = act_at.unwrap_or(end);
            if self.advance(limit)? {
                return Ok(());
            }
            if self.nemesis.next_at() != act_at {
                continue; // Watching planned something earlier: what is due before it comes first.
            }
            if act_at.is_none() {
                return self.overdue();
            }
            let world = self.world.as_mut().expect("begun above");
            world.advance(limit);
            for node in self.nemesis.act(world) {
                self.observe(node)?;
            }
            if self.look_at <= self.world().trace().count() && self.look()? {
                return Ok(());
            }
        }
    }

    fn begin(&mut self) {
        let Scenario { cluster, workload, config, promises, .. } = self.scenario;
        let (nodes, clients) = (self.frame.nodes, cluster.clients);
        for promise in promises {
            if let Kind::Invariant(make) = &promise.kind {
                self.monitors.push((promise.name, make()));
            }
        }
        let crowd = Crowd::new(
            workload.clone(),
            (nodes, clients),
            self.scenario.must_complete(),
            self.trial.skip.clone(),
            Time::ZERO + self.frame.faults,
            self.trial.calls.clone(),
        );
        let setup = Setup {
            seed: self.trial.seed,
            nodes,
            clients,
            recording: self.trial.recording,
            overrides: self.trial.overrides.clone(),
        };
        let mut wire = Wire::new(nodes, clients, cluster.link);
        for DrawAddress { site, ordinal } in &self.trial.left_out {
            if let Site::Link(from, to) = site {
                wire.leave_out(*from, *to, *ordinal);
            }
        }
        let mut world = World::new(setup, config.clone(), wire, crowd);
        if let Some(random) = &self.trial.random {
            world.draws_mut().calm(random.clone());
        }
        if self.trial.log_draws {
            world.draws_mut().keep_log();
        }
        if self.trial.fix == Some(0) {
            world.draws_mut().fix();
        }
        for (node, clock) in NodeId::all(nodes).zip(cluster.clocks) {
            world.set_clock(node, *clock);
        }
        self.world = Some(world);
    }

    /// Everything that is due at `limit` or before. True if the run is over: nothing is left to be
    /// done.
    fn advance(&mut self, limit: Time) -> Result<bool, Broken> {
        while let Some(step) = self.step(limit) {
            if let Some(node) = step.actor.node() {
                self.observe(node)?;
                if self.nemesis.is_watching()
                    && let Some(world) = &self.world
                {
                    self.nemesis.watch(world, node);
                    if self.nemesis.next_at().is_some_and(|at| at < limit) {
                        return Ok(false);
                    }
                }
            }
            if self.world().trace().count() >= self.look_at {
                if self.look()? {
                    return Ok(true);
                }
                if self.nemesis.next_at().is_some_and(|at| at < limit) {
                    return Ok(false);
                }
            }
            let world = self.world();
            if world.clients().is_done() && self.may_end() && self.settled() {
                return Ok(true);
            }
        }
        let undone = !self.world().clients().is_done();
        // The last thing to happen may have been the end of a fault.
        if !undone && self.nemesis.next_at().is_none() && self.unsettled().is_none() {
            return Ok(true);
        }
        if undone && self.world().is_quiet() && self.nemesis.next_at().is_none() {
            return Err(self.stuck("nothing will ever happen again"));
        }
        Ok(false)
    }

    /// So many events have happened that there is something to be done. True if the run is over.
    #[cold]
    fn look(&mut self) -> Result<bool, Broken> {
        let most = self.scenario.horizon.events;
        let world = self.world.as_mut().expect("a run is looked at only after it began");
        let count = world.trace().count();
        if let Some(fork) = self.trial.fork.filter(|fork| self.look_at <= fork.after) {
            world.draws_mut().reseed(fork.seed);
            world.clients_mut().decide_calls();
            self.nemesis.redraw(fork.seed, world.now(), &self.frame);
        }
        if self.trial.fix.is_some_and(|from| from <= count) {
            world.draws_mut().fix();
        }
        self.look_at = next_look(self.trial, count + 1).min(most + 1);
        if self.trial.until.is_some_and(|until| until <= count) {
            return Ok(true);
        }
        if count > most {
            return Err(self.stuck("runs in circles: its events are used up"));
        }
        Ok(false)
    }

    /// Whether no fault is still to come, and the trial does not ask for a longer run.
    fn may_end(&self) -> bool {
        let faults = self.trial.faults.map(|until| Time::ZERO + until);
        let open_until = faults.max(self.trial.open_until);
        let longer = open_until.is_some_and(|until| self.world().now() < until);
        self.nemesis.next_at().is_none() && !longer
    }

    fn step(&mut self, limit: Time) -> Option<Step> {
        let world = self.world.as_mut()?;
        if !self.trial.spans {
            return world.step_until(limit);
        }
        world.step_inside(limit, |Step { at, actor }| {
            tracing::info_span!("event", at = %at, actor = %actor).entered()
        })
    }

    fn world(&self) -> &World<P, Wire, Crowd<P, I, O>> {
        self.world.as_ref().expect("a run is looked at only after it began")
    }

    fn observe(&mut self, node: NodeId) -> Result<(), Broken> {
        // A handler that is not over is not to be judged: nobody knows yet of what it did, and a
        // crash may still undo it.
        let world = self.world.as_ref().filter(|world| !world.is_mid_handler(node));
        let Some(state) = world.and_then(|world| world.node(node)) else {
            return Ok(());
        };
        for (promise, monitor) in &mut self.monitors {
            monitor.observe(node, state).map_err(|violation| {
                let promise = format!("always {promise}");
                let explanation = violation.to_string();
                Broken::new(FailureKind::Safety, promise, violation.property, explanation)
            })?;
        }
        Ok(())
    }

    /// Whether every `eventually` about the nodes holds; looked at now and then, since a look may
    /// be costly.
    fn settled(&mut self) -> bool {
        let now = self.world().now();
        if now < self.settled_check {
            return false;
        }
        self.settled_check = now + SETTLED_EVERY;
        self.unsettled().is_none()
    }

    /// The first `eventually` about the nodes that does not hold.
    fn unsettled(&self) -> Option<(&'static str, String)> {
        let world = self.world();
        let nodes: Vec<Option<&P>> =
            NodeId::all(world.node_count()).map(|node| world.node(node)).collect();
        self.scenario.promises.iter().find_map(|promise| match &promise.kind {
            Kind::Eventually(judge) => judge(&nodes).err().map(|why| (promise.name, why)),
            _ => None,
        })
    }

    /// What excuses a run that comes to no end: nodes that are gone for good, more of them than the
    /// protocol can spare.
    fn excuse(&self, kind: FailureKind) -> Option<String> {
        let gone: Vec<String> = self.nemesis.gone().map(|node| node.to_string()).collect();
        let blocks = self.scenario.expect == Expect::Blocks;
        let spared = gone.len() <= self.frame.spare && !blocks;
        (kind.is_late() && !gone.is_empty() && !spared)
            .then(|| format!("{} stopped for good", gone.join(" and ")))
    }

    /// The end has come, and something has not happened yet that perhaps had to.
    fn overdue(&self) -> Result<(), Broken> {
        let settle = self.scenario.horizon.settle;
        if !self.world().clients().is_done() && self.scenario.must_complete() {
            let waiting = self.waiting();
            let promise = "eventually every operation completes".to_owned();
            let why = format!("{settle} after the last fault, {waiting}");
            return Err(Broken::new(FailureKind::Liveness, promise, "operations", why));
        }
        let Some((name, why)) = self.unsettled() else { return Ok(()) };
        let promise = format!("eventually {name}");
        let why = format!("{settle} after the last fault, {why}; {}", self.nodes_wait().join("; "));
        Err(Broken::new(FailureKind::Liveness, promise, name, why))
    }

    /// Who waits for what: the clients, then the nodes.
    fn waiting(&self) -> String {
        let clients = self.world().clients().waiting();
        clients.into_iter().chain(self.nodes_wait()).collect::<Vec<_>>().join("; ")
    }

    /// For each node, whether it is there, its timers, and what it says that it waits for.
    fn nodes_wait(&self) -> Vec<String> {
        let world = self.world();
        let wait = |node: NodeId| match world.node(node) {
            None => format!("{node} is down"),
            Some(_) if world.is_paused(node) => format!("{node} is paused"),
            Some(state) => {
                let timers = match &world.timers(node)[..] {
                    [] => "for no timer".to_owned(),
                    timers => format!("for timer {}", timers.join(", ")),
                };
                match state.waits() {
                    says if says.is_empty() => format!("{node} waits {timers}"),
                    says => format!("{node} waits {timers} ({says})"),
                }
            }
        };
        NodeId::all(world.node_count()).map(wait).collect()
    }

    fn stuck(&self, why: &str) -> Broken {
        let waiting = self.waiting();
        let promise = "the run comes to its end".to_owned();
        Broken::new(FailureKind::Stuck, promise, why, format!("it {why}, while {waiting}"))
    }

    /// How often faults had an effect that an undisturbed cluster never has.
    fn fault_effects(&self) -> [u64; 15] {
        let world = self.world();
        let (wire, node) = (world.network().tally(), world.counters());
        [
            wire.cut,
            wire.clogged,
            wire.swizzled,
            wire.burst,
            wire.lagged,
            wire.throttled,
            wire.corrupted,
            wire.flapped,
            node.crashes,
            node.deferred,
            node.stalled,
            node.lies,
            node.unheard,
            node.misled,
            node.timers_moved,
        ]
    }

    /// The history's verdicts, when the run is over.
    fn judge(&self) -> Option<Broken> {
        let history = self.world().clients().history();
        for promise in &self.scenario.promises {
            let Kind::History(judge) = &promise.kind else { continue };
            let name = format!("always {}", promise.name);
            match judge(history) {
                Judgement::Holds => {}
                Judgement::Violated { reason, operation, core } => {
                    let broken = Broken::new(FailureKind::Safety, name, &reason, reason.clone());
                    return Some(Broken { operation, core, ..broken });
                }
                Judgement::Unknown(why) => {
                    let broken = Broken::new(FailureKind::Safety, name, "unknown", why);
                    return Some(Broken { unknown: true, ..broken });
                }
            }
        }
        None
    }

    fn report(self, plan: FaultPlan, broken: Option<Broken>) -> Report {
        let fired: Vec<_> = self.nemesis.fired().collect();
        if let Some(effects) = self.when_over {
            assert_eq!(
                effects,
                self.fault_effects(),
                "a fault took effect after its plan was over"
            );
        }
        let Some(world) = &self.world else {
            unreachable!("nodes that panic as they start leave a world without them")
        };
        let history = world.clients().history();
        let completed = history.completed() as u64;
        let indeterminate = history
            .operations
            .iter()
            .filter(|operation| matches!(operation.outcome, Outcome::Indeterminate))
            .count() as u64;
        let conclusion = match broken {
            Some(broken) if broken.unknown => {
                Conclusion::Vacuous(format!("{}: {}", broken.promise, broken.explanation))
            }
            Some(broken) => Conclusion::Failed(Box::new(self.failure(&plan, broken))),
            None if completed == 0 => Conclusion::Vacuous("no operation completed".to_owned()),
            None => match fired.iter().find(|(class, _)| !fired.contains(&(*class, true))) {
                Some((class, _)) => {
                    Conclusion::Vacuous(format!("a planned {} had no effect", class.name()))
                }
                None => Conclusion::Passed,
            },
        };
        Report {
            scenario: self.scenario.name,
            seed: self.trial.seed,
            hash: world.hash(),
            events: world.trace().count(),
            ended: world.now(),
            counters: *world.counters(),
            completed,
            indeterminate,
            marks: world.marks().to_vec(),
            plan,
            fired,
            conclusion,
            trace: world.trace().events().cloned().collect(),
            draws: world.draws().log().to_vec(),
            calls: if self.trial.log_draws {
                world.clients().calls().collect()
            } else {
                Vec::new()
            },
        }
    }

    fn failure(&self, plan: &FaultPlan, broken: Broken) -> Failure {
        let world = self.world();
        let crowd = world.clients();
        let mut shown = broken.core.clone();
        shown.extend(broken.operation.filter(|one| !shown.contains(one)));
        shown.sort_unstable();
        let operations = shown
            .iter()
            .map(|index| {
                let operation = &crowd.history().operations[*index];
                let mark = if Some(*index) == broken.operation { ">" } else { " " };
                told(operation, crowd.name(*index), mark)
            })
            .collect();
        let name = self.scenario.name;
        let seed = self.trial.seed;
        let kind = broken.kind;
        Failure {
            kind,
            scenario: name,
            seed,
            fingerprint: format!("{}: {}: {}", kind.name(), broken.promise, broken.shape),
            promise: broken.promise,
            explanation: broken.explanation,
            excuse: self.excuse(kind),
            operations,
            event: world.trace().count(),
            at: world.now(),
            hash: world.hash(),
            faults: plan.entries.iter().map(ToString::to_string).collect(),
            replay: format!("cargo run --release -- replay {name} --seed {}", seed.0),
        }
    }
}

/// An operation as failures tell it.
pub(crate) fn told<I: Debug, O: Debug>(
    operation: &Operation<I, O>,
    name: OperationId,
    mark: &str,
) -> String {
    let call = Time::from_nanos(operation.call);
    let end = match &operation.outcome {
        Outcome::Ok { returned, output } => format!("{} = {output:?}", Time::from_nanos(*returned)),
        Outcome::Failed { returned } => format!("{} = failed", Time::from_nanos(*returned)),
        Outcome::Indeterminate => "? = no answer".to_owned(),
    };
    format!("{mark} {name} {:?}   {call} .. {end}", operation.input)
}
