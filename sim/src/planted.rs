//! What planted bugs need to know of a run, and nothing else does.
//!
//! A planted bug keeps the right code beside the wrong, `if has_fix(ctx) { right } else { wrong }`,
//! so that a run can take up the fix at any event: until when would it have saved the run?

use crate::protocol::{Context, Protocol};

/// Whether the program has its fix from here on. False in every ordinary run.
pub fn has_fix<P: Protocol>(ctx: &Context<'_, P>) -> bool {
    ctx.has_fix()
}
