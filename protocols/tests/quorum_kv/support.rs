//! A cluster of five with one key, and its homes by their place in the preference list.

use crate::by_hand::{Bench, N1};
use seedfall_protocols::kv::Text;
use seedfall_protocols::quorum_kv::{Config, QuorumKv, Request, Response, Ring, Version, Versions};
use seedfall_sim::{Duration, NodeId, RequestId};

/// What no test waits for.
const NEVER: Duration = Duration::secs(3_600);

/// Nothing happens by itself but what is asked again.
pub(crate) const CONFIG: Config = Config {
    homes: 3,
    read_quorum: 2,
    write_quorum: 2,
    sloppy: false,
    virtual_nodes: 8,
    retransmit_after: Duration::millis(40),
    handoff_every: NEVER,
    anti_entropy_every: NEVER,
    grace: NEVER,
};

pub(crate) const KEY: &str = "x";

/// The nodes in the order in which they are asked for the key: `[0..3]` are its homes.
pub(crate) fn order() -> [NodeId; 5] {
    let list = Ring::new(5, CONFIG.virtual_nodes).preference_list(&KEY.into());
    list.try_into().expect("five nodes")
}

pub(crate) fn bench(config: Config) -> Bench<QuorumKv> {
    let bench = Bench::<QuorumKv>::new(5, config);
    assert_eq!(bench.at(N1).homes(&KEY.into()), order()[..3]);
    bench
}

pub(crate) fn get() -> Request {
    Request::Get { key: KEY.into() }
}

pub(crate) fn put(value: &str) -> Request {
    Request::Put { key: KEY.into(), value: Some(value.into()) }
}

pub(crate) fn delete() -> Request {
    Request::Put { key: KEY.into(), value: None }
}

/// The values of siblings, in the order of their dots; a deletion is a dash.
pub(crate) fn values(versions: &Versions) -> Vec<String> {
    let value = |version: &Version| version.value.as_ref().map_or("-".to_owned(), Text::to_string);
    versions.iter().map(value).collect()
}

/// What a node holds of the key.
pub(crate) fn held(bench: &Bench<QuorumKv>, node: NodeId) -> Vec<String> {
    values(&bench.at(node).siblings(&KEY.into()))
}

/// What a get was answered, sorted; `None`: nothing yet.
pub(crate) fn got(bench: &Bench<QuorumKv>, request: RequestId) -> Option<Vec<String>> {
    match bench.answer(request)? {
        Response::Siblings(siblings) => {
            let mut values = values(siblings);
            values.sort_unstable();
            Some(values)
        }
        other => panic!("{other:?} answers another question"),
    }
}

/// Whether a put was answered.
pub(crate) fn is_stored(bench: &Bench<QuorumKv>, request: RequestId) -> bool {
    match bench.answer(request) {
        Some(Response::Stored { .. }) => true,
        Some(other) => panic!("{other:?} answers another question"),
        None => false,
    }
}
