//! rumqttd, a broker of MQTT, and rumqttc, its client: numbers that two clients publish and a third
//! one has subscribed to, at least once each (quality of service 1).
//!
//! The broker keeps all in memory, so nothing restarts it. What it has acknowledged it must deliver
//! to a subscriber whose session is not clean, however often connections break.

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use rumqttd::{Broker, Config};
use seedfall::checkers::History;
use seedfall::net::Delay;
use seedfall::programs::{Answer, Process, Program, Programs, Session};
use seedfall::sim::Duration as Span;
use seedfall::{Expect, Horizon, Judgement, Property, Swarm, always, every_operation_completes};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const TOPIC: &str = "numbers";

/// How long a publisher waits to hear that its number was taken.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the subscriber waits, in the end, for what is still on its way.
const SETTLED: Duration = Duration::from_secs(4);

/// What a client does.
#[derive(Clone, Debug)]
pub enum In {
    /// The first one: it looks at what it was sent.
    Look,
    /// The same, at the end.
    LookAtLast,
    /// The others: a number is published.
    Publish(u64),
}

/// What comes of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Out {
    /// Whether the broker has acknowledged the subscription, and what was sent.
    Seen(bool, Vec<u64>),
    /// The broker has acknowledged the number.
    Taken,
}

/// The broker's `main`.
fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let config: Config = serde_json::from_value(json!({
        "id": 0,
        "router": {
            "max_connections": 100, "max_outgoing_packet_count": 200,
            "max_segment_size": 1_000_000, "max_segment_count": 10,
        },
        "v4": { "1": {
            "name": "v4-1", "listen": "0.0.0.0:1883", "next_connection_delay_ms": 1,
            "connections": {
                "connection_timeout_ms": 1_000, "max_payload_size": 20_480,
                "max_inflight_count": 100, "dynamic_filters": true,
            },
        } },
    }))?;
    Ok(Broker::new(config).start()?)
}

/// What the task that keeps a connection has heard so far.
#[derive(Default)]
struct Heard {
    is_subscribed: bool,
    numbers: Vec<u64>,
    /// By the identifier of its packet, whether a publication was acknowledged.
    taken: BTreeMap<u16, bool>,
    /// The identifiers, in the order in which they were first sent.
    sent: Vec<u16>,
}

/// A connection that is made anew whenever it breaks.
fn connect(id: String, forgets: bool) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "broker", 1883);
    options.set_keep_alive(Duration::from_secs(1)).set_clean_session(forgets);
    AsyncClient::new(options, 10)
}

async fn keep(mut connection: EventLoop, heard: watch::Sender<Heard>) {
    loop {
        match connection.poll().await {
            Ok(event) => heard.send_modify(|heard| note(heard, event)),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn note(heard: &mut Heard, event: Event) {
    match event {
        Event::Incoming(Packet::SubAck(_)) => heard.is_subscribed = true,
        Event::Incoming(Packet::Publish(publication)) => {
            let number = std::str::from_utf8(&publication.payload).ok();
            heard.numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        Event::Incoming(Packet::PubAck(ack)) => drop(heard.taken.insert(ack.pkid, true)),
        // Sent again, it has the same identifier.
        Event::Outgoing(Outgoing::Publish(id)) if heard.taken.get(&id) != Some(&false) => {
            heard.taken.insert(id, false);
            heard.sent.push(id);
        }
        _ => {}
    }
}

/// A client.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out>, forgets: bool) {
    let (mqtt, connection) = connect(format!("client{}", session.client() + 1), forgets);
    let (sender, mut heard) = watch::channel(Heard::default());
    tokio::spawn(keep(connection, sender));
    if session.client() == 0 {
        mqtt.subscribe(TOPIC, QoS::AtLeastOnce).await.expect("a subscription");
    }
    let mut published = 0;
    while let Some(input) = session.next().await {
        if let In::Publish(number) = input {
            let payload = number.to_string();
            mqtt.publish(TOPIC, QoS::AtLeastOnce, false, payload).await.expect("a publication");
            published += 1;
            let is_taken =
                |heard: &Heard| heard.sent.get(published - 1).is_some_and(|id| heard.taken[id]);
            let taken = timeout(PATIENCE, heard.wait_for(is_taken)).await;
            session.answer(match taken {
                Ok(Ok(_)) => Answer::Ok(Out::Taken),
                _ => Answer::Indeterminate,
            });
            continue;
        }
        if matches!(input, In::LookAtLast) {
            sleep(SETTLED).await;
        }
        let heard = heard.borrow();
        session.answer(Answer::Ok(Out::Seen(heard.is_subscribed, heard.numbers.clone())));
    }
}

/// What was taken after the subscription was is delivered in the end.
fn delivered() -> Property<Process, In, Out> {
    always("what was acknowledged is delivered", judge_delivery)
}

fn judge_delivery(history: &History<In, Out>) -> Judgement {
    let mut since = u64::MAX;
    let mut last = None;
    for operation in &history.operations {
        if let Some(Out::Seen(is_subscribed, numbers)) = operation.outcome.output() {
            if *is_subscribed {
                since = since.min(operation.outcome.returned().unwrap_or(u64::MAX));
            }
            if matches!(operation.input, In::LookAtLast) {
                last = Some((operation.call, numbers));
            }
        }
    }
    let Some((end, numbers)) = last else { return Judgement::Holds };
    for (place, operation) in history.operations.iter().enumerate() {
        let In::Publish(number) = operation.input else { continue };
        let taken = operation.outcome.output().and(operation.outcome.returned());
        if operation.call > since
            && taken.is_some_and(|taken| taken < end)
            && !numbers.contains(&number)
        {
            let reason = format!("the broker took {number}, and did not deliver it");
            return Judgement::Violated { reason, operation: Some(place), core: vec![] };
        }
    }
    Judgement::Holds
}

fn scenario(name: &'static str, forgets: bool) -> Programs<In, Out> {
    let faults = Swarm {
        crashes: 0,
        power_losses: 0,
        storms: 0,
        disk_errors: 0,
        clocks: 0,
        slows: 0,
        ..Swarm::ALL
    };
    Programs {
        story: "Two clients publish numbers to a broker of MQTT, a third one has subscribed.",
        nodes: vec![Program::new("broker", || serve().expect("the broker starts"))],
        clients: 3,
        operations: 30,
        // A connection breaks when nothing was heard for a second and a half.
        horizon: Horizon { faults: Span::secs(6), ..Horizon::SHORT },
        think: Delay::Uniform { min: Span::millis(50), max: Span::millis(300) },
        faults,
        properties: vec![delivered(), every_operation_completes()],
        ..Programs::new(
            name,
            |op, _| match op.client.index() {
                0 if op.is_last() => In::LookAtLast,
                0 => In::Look,
                _ => In::Publish(op.unique()),
            },
            move |session| client(session, forgets),
        )
    }
}

/// A broker that nothing restarts, and three clients.
pub fn right() -> Programs<In, Out> {
    scenario("mqtt", false)
}

/// The broker is to forget a client whose connection breaks.
pub fn clean() -> Programs<In, Out> {
    let because = "a subscriber whose session is clean has subscribed to nothing once its \
                   connection broke";
    let properties = &["what was acknowledged is delivered"];
    Programs {
        expect: Expect::Violates { properties, because },
        ..scenario("mqtt-clean-session", true)
    }
}

#[cfg(test)]
mod tests {
    use super::{History, In, Judgement, Out, judge_delivery};

    #[test]
    fn a_number_that_was_taken_and_not_delivered_is_found() {
        let mut history = History::new();
        let mut add = |client, call, input, output| {
            let operation = history.invoke(client, call, input);
            history.complete(operation, call + 5, output);
        };
        add(1, 0, In::Publish(1), Out::Taken);
        add(0, 10, In::Look, Out::Seen(true, vec![]));
        add(1, 20, In::Publish(2), Out::Taken);
        add(1, 30, In::Publish(3), Out::Taken);
        add(0, 100, In::LookAtLast, Out::Seen(true, vec![3, 2]));
        assert_eq!(judge_delivery(&history), Judgement::Holds);
        let mut lost = history.clone();
        let operation = lost.invoke(0, 200, In::LookAtLast);
        lost.complete(operation, 205, Out::Seen(true, vec![3]));
        assert!(matches!(judge_delivery(&lost), Judgement::Violated { operation: Some(2), .. }));
    }
}
