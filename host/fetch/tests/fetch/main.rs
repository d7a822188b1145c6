//! Files and repositories from real servers on loopback, which fail when they are told to.

mod git;
mod hostile;
mod http;
mod ssh;
mod support;
