//! Files and repositories from real servers on loopback, which fail when they are told to.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod git;
mod hostile;
mod http;
mod ssh;
mod support;
