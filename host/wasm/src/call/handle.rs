//! What handles of resources stand for. Only their numbers matter, so these types hold nothing.
#![expect(unreachable_pub, reason = "generated code re-exports them")]

/// A lent tree; handles carry the session's number of it.
#[derive(Debug)]
pub struct TreeHandle;

/// A lent blob; handles carry the session's number of it.
#[derive(Debug)]
pub struct BlobHandle;

/// The bucket of the call.
#[derive(Debug)]
pub struct BucketHandle;
