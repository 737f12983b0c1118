//! Nothing: the tests of this package stand in `it/`.
