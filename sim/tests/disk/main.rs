//! The disk and the journal's recovery: every crash image, every kind of damage, every fault.

mod damage;
mod epochs;
mod images;
mod support;
mod world;
