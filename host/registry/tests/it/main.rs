//! The client against a real registry and against a hostile one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod credentials;
mod hostile;
mod logins;
mod real;
mod real_registry;
mod server;

use std::sync::Arc;
use std::time::Duration;

use kiln_image::Descriptor;
use kiln_registry::Config;
use kiln_registry::Credentials;
use kiln_registry::Login;
use kiln_registry::Retry;

/// Bytes that do not compress and are always the same.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(step).collect()
}

pub(crate) fn blob_of(bytes: &[u8]) -> Descriptor {
    Descriptor::of("application/octet-stream", bytes)
}

/// A configuration that does not wait long.
pub(crate) fn config() -> Config {
    Config {
        retry: Retry {
            attempts: 4,
            base: Duration::from_millis(5),
            longest: Duration::from_millis(40),
        },
        stall: Duration::from_millis(1500),
        ..Config::default()
    }
}

/// One login for every registry.
#[derive(Debug)]
pub(crate) struct Always(pub(crate) Login);

#[async_trait::async_trait]
impl Credentials for Always {
    async fn get(&self, _: &str) -> Result<Option<Login>, kiln_registry::CredentialError> {
        Ok(Some(self.0.clone()))
    }
}

pub(crate) fn logged_in() -> Config {
    let login = Login::Basic {
        user: "ann".to_owned(),
        password: "pa:ss".to_owned(),
    };
    Config {
        credentials: Arc::new(Always(login)),
        ..config()
    }
}
