//! Models of single reads and writes that are weaker than linearizability, one a file.
//!
//! All take a [`RegisterHistory`] whose values are written once per key. What is indeterminate
//! counts if somebody read it, and may then take effect at any time after its call; otherwise it
//! counts for nothing. What failed never happened: reading it is a read out of thin air.
//!
//! | model | function | source |
//! |---|---|---|
//! | sequential consistency | [`sequential`] | Lamport 1979 |
//! | real-time order | [`real_time`] | Viotti and Vukolić 2016 |
//! | causal consistency CC, CM, CCv | [`causal`] | Bouajjani et al. 2017 |
//! | session guarantees | [`session_guarantees`] | Terry et al. 1994 |
//! | regular, safe registers | [`regular`], [`safe`] | Lamport 1986 |
//! | k-atomicity, staleness | [`k_atomic`], [`staleness_time`] | Aiyer 2005, Golab 2011 |
//! | eventual convergence | [`convergence`] | Shapiro et al. 2011 |

mod accesses;
mod causal;
mod convergence;
mod real_time;
mod regular;

mod sequential;
mod session;
mod staleness;

pub use crate::report::{Breach, Report, Status};
pub use accesses::{Access, Refused, RegisterHistory};
pub use causal::{Causal, causal};
pub use convergence::{Replica, convergence};
pub use real_time::real_time;
pub use regular::{regular, safe};
pub use sequential::sequential;
pub use session::{Guarantee, session_guarantees};
pub use staleness::{k_atomic, staleness_time};
