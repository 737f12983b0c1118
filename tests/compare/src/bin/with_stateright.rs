//! With stateright: the same as actors, and every order of every step, breadth first.

use stateright::actor::{
    Actor, ActorModel, Envelope, Id, LossyNetwork, Network, Out, model_timeout,
};
use stateright::{Checker, Expectation, Model};
use std::borrow::Cow;
use std::time::Instant;

// begin service
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Write(u8),
    Written(u8),
    Copy(u8),
    Copied(u8),
    Read,
    Value(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    First,
    Second,
    Writer,
    Reader,
}

const FIRST: usize = 0;
const SECOND: usize = 1;
const WRITER: usize = 2;

impl Actor for Who {
    type Msg = Message;
    type State = u8; // Of the second: the value. Of the first: the write that waits, or 0.
    type Timer = ();
    type Storage = ();
    type Random = ();

    fn on_start(&self, _: Id, _: &Option<()>, out: &mut Out<Self>) -> u8 {
        match self {
            Who::Writer => out.send(FIRST.into(), Message::Write(1)),
            Who::Reader => out.send(SECOND.into(), Message::Read),
            Who::First | Who::Second => {}
        }
        0
    }

    fn on_msg(&self, _: Id, state: &mut Cow<u8>, from: Id, message: Message, out: &mut Out<Self>) {
        match (self, message) {
            (Who::First, Message::Write(value)) => {
                *state.to_mut() = value;
                out.send(SECOND.into(), Message::Copy(value));
                out.set_timer((), model_timeout());
            }
            (Who::First, Message::Copied(value)) if **state == value => {
                *state.to_mut() = 0;
                out.cancel_timer(());
                out.send(WRITER.into(), Message::Written(value));
            }
            (Who::Second, Message::Copy(value)) => {
                *state.to_mut() = value;
                out.send(from, Message::Copied(value));
            }
            (Who::Second, Message::Read) => out.send(from, Message::Value(**state)),
            // The clients ask again and again; the bound of the model stops them.
            (Who::Writer, Message::Written(value)) if value < 2 => {
                out.send(from, Message::Write(value + 1));
            }
            (Who::Reader, Message::Value(_)) if **state < 3 => {
                *state.to_mut() += 1;
                out.send(from, Message::Read);
            }
            _ => {}
        }
    }

    fn on_timeout(&self, _: Id, state: &mut Cow<u8>, (): &(), out: &mut Out<Self>) {
        // The bug: nobody knows whether the second has it.
        out.send(WRITER.into(), Message::Written(**state));
        *state.to_mut() = 0;
    }
}
// end service

// begin test
/// What the clients know: the last write that was answered, then and when the read began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    answered: u8,
    when_read: u8,
    is_broken: bool,
}

fn model() -> ActorModel<Who, (), Seen> {
    ActorModel::new((), Seen::default())
        .actors([Who::First, Who::Second, Who::Writer, Who::Reader])
        .init_network(Network::new_unordered_nonduplicating([]))
        .lossy_network(LossyNetwork::Yes)
        .record_msg_out(|_, seen: &Seen, sent: Envelope<&Message>| match sent.msg {
            Message::Read => Some(Seen { when_read: seen.answered, ..*seen }),
            _ => None,
        })
        .record_msg_in(|_, seen, came| match came.msg {
            Message::Written(value) => Some(Seen { answered: *value, ..*seen }),
            Message::Value(value) if *value < seen.when_read => {
                Some(Seen { is_broken: true, ..*seen })
            }
            _ => None,
        })
        .property(Expectation::Always, "reads see what was answered", |_, state| {
            !state.history.is_broken
        })
}
// end test

fn main() {
    let started = Instant::now();
    let checker = model().checker().spawn_bfs().join();
    let path = checker.discovery("reads see what was answered").expect("the bug is there");
    let (states, seconds) = (checker.unique_state_count(), started.elapsed().as_secs_f64());
    println!(
        "stateright: {states} states, {seconds:.3} s, {} steps:",
        path.clone().into_actions().len()
    );
    for step in path.into_actions() {
        println!("  {step:?}");
    }
}
