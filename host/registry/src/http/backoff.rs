//! Waits between attempts.

use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::time::Duration;

use super::Failure;
use super::failure::Kind;
use crate::RegistryError;
use crate::Retry;

/// Attempts to connect at all: somebody waits for a host name that is mistyped.
const CONNECTS: u32 = 3;

/// Counts failures and waits.
#[derive(Debug)]
pub(crate) struct Backoff {
    retry: Retry,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(retry: Retry) -> Self {
        Self { retry, failures: 0 }
    }

    /// Forgets the failures: something was achieved since.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// Gives the failure back when there is to be no other attempt.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<(), RegistryError> {
        self.failures += 1;
        let attempts = match failure.kind {
            Kind::Final => 0,
            Kind::Connect => self.retry.attempts.min(CONNECTS),
            Kind::Transient => self.retry.attempts,
        };
        if self.failures >= attempts {
            return Err(failure.error);
        }
        let wait = failure
            .after
            .unwrap_or_else(|| self.delay())
            .min(self.retry.longest);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Doubles with every failure; between half and all of it is waited, so that clients do not march in step.
    fn delay(&self) -> Duration {
        let doubled = self.retry.base.saturating_mul(1 << (self.failures - 1).min(16));
        let full = doubled.min(self.retry.longest);
        let random = RandomState::new().hash_one(self.failures) % 1024;
        full / 2 + full.mul_f64(random as f64 / 2048.0)
    }
}
