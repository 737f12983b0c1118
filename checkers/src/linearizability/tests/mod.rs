//! Every algorithm against brute force, and against one another.

mod brute;
mod random;
mod registers;
