//! Every algorithm against brute force, and against one another.

mod brute;
mod containers;
mod models;
mod online;
mod random;
mod registers;
mod shrink;
