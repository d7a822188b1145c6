//! Makes an SSH agent's socket usable inside a step: a socket of the step's own, whose connections are passed on.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use tokio::net::UnixListener;
use tokio::net::UnixStream;

use crate::error::EngineError;

/// Listens on a new socket in a directory that lives as long as the returned guard, and passes each connection on to
/// the agent at `agent`.
pub(super) fn forward(agent: &Path) -> Result<(tempfile::TempDir, PathBuf), EngineError> {
    let failed = |source| EngineError::Ssh {
        path: agent.to_owned(),
        source,
    };
    let directory = tempfile::Builder::new()
        .prefix("kiln-ssh-")
        .tempdir()
        .map_err(failed)?;
    let path = directory.path().join("agent.sock");
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let agent = agent.to_owned();
    let alive = directory.path().to_owned();
    tokio::spawn(async move {
        // The directory is gone when the step is over: nobody can connect any more.
        while alive.exists() {
            let wait = std::time::Duration::from_millis(200);
            if let Ok(Ok((client, _))) = tokio::time::timeout(wait, listener.accept()).await {
                tokio::spawn(pass_on(client, agent.clone()));
            }
        }
    });
    Ok((directory, path))
}

async fn pass_on(mut client: UnixStream, agent: PathBuf) -> io::Result<()> {
    let mut agent = UnixStream::connect(agent).await?;
    tokio::io::copy_bidirectional(&mut client, &mut agent).await?;
    Ok(())
}
