//! Every algorithm against brute force, and against one another.

mod brute;
mod containers;
mod models;
mod random;
mod registers;
