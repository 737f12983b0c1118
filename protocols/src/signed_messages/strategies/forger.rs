//! A general who makes chains of signatures that prove nothing: it signs the other order behind what
//! was signed before, signs in the commander's place, signs twice for two, and tells of battles that
//! nobody began (Lamport, Shostak and Pease 1982, section 4, A4: nobody's signature can be forged,
//! and anyone can see whose it is).

use crate::signed_messages::{General, Message, Statement, turned};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<General> =
    Strategy { name: "forges chains", says, answers: Strategy::<General>::ANSWERS_TRULY };

fn says(_: &General, _: NodeId, message: Message, me: Signer, draw: &mut Draw) -> Option<Message> {
    let Message(mut signed) = message;
    let Some(last) = signed.pop_if(|last| last.by() == me.id()) else {
        return Some(Message(signed));
    };
    let said = last.value().clone();
    match draw.below(4) {
        // Its own order behind another's.
        0 => signed.push(me.sign(turned(&said))),
        // As many signatures, all its own.
        1 => {
            let count = signed.len() + 1;
            signed = chain(&turned(&said), count, me);
        }
        // The order of others, with its own signature twice in the place of theirs.
        2 if !signed.is_empty() => {
            let after = vec![signed[0].by()];
            signed.truncate(1);
            signed.extend(
                said.after
                    .iter()
                    .map(|_| me.sign(Statement { after: after.clone(), ..turned(&said) })),
            );
        }
        _ => signed.push(last),
    }
    Some(Message(signed))
}

/// A chain that one general signs alone.
fn chain(said: &Statement, count: usize, me: Signer) -> Vec<seedfall_sim::Signed<Statement>> {
    let of = |place| me.sign(Statement { after: vec![me.id(); place], ..said.clone() });
    (0..count).map(of).collect()
}
