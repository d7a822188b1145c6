//! Binds the solver to real work.
mod keys;
