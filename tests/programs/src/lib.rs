//! Other people's code inside the simulated Linux; see `tests/`.
