//! A general who makes chains of signatures that prove nothing: it signs the other order behind
//! what others signed, or as if nobody had signed before; signs twice, for two; and gives orders in
//! the place of another commander (Lamport, Shostak and Pease 1982, section 4, A4: nobody's
//! signature can be forged, and anyone can see whose it is).

use crate::oral_messages::Battle;
use crate::signed_messages::{General, Message, Statement, turned};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<General> =
    Strategy { name: "forges chains", says, answers: Strategy::<General>::ANSWERS_TRULY };

fn says(_: &General, to: NodeId, message: Message, me: Signer, draw: &mut Draw) -> Option<Message> {
    let Message(mut signed) = message;
    let Some(last) = signed.pop_if(|last| last.by() == me.id()) else {
        return Some(Message(signed));
    };
    let said = last.value().clone();
    match (draw.below(4), signed.len()) {
        (0 | 1, 0) => {
            let battle = Battle { commander: to, ..said.battle };
            signed.push(me.sign(Statement { battle, ..said }));
        }
        (0, _) => signed.push(me.sign(turned(&said))),
        (1, _) => signed.push(me.sign(Statement { after: Vec::new(), ..said })),
        (2, 2) => {
            signed.truncate(1);
            let after = vec![signed[0].by()];
            signed.push(me.sign(Statement { after: after.clone(), ..said.clone() }));
            signed.push(me.sign(Statement { after: [after, vec![me.id()]].concat(), ..said }));
        }
        _ => signed.push(last),
    }
    Some(Message(signed))
}
