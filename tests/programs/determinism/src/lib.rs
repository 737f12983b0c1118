//! The proof that a run of programs is a function of its seed: [`worlds`] of programs, over
//! everything that makes two runs of a program differ ([`sources`]).

pub mod sources;
pub mod worlds;
