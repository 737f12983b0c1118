//! Every algorithm against brute force, and against one another.

mod brute;
mod containers;
mod limits;
mod models;
mod online;
mod random;
mod reductions;
mod registers;
mod shrink;
