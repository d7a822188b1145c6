use std::sync::Arc;

use crate::LayeredIndex;
use crate::MemoryIndex;
use crate::conformance;

#[tokio::test]
async fn memory() {
    conformance::run(MemoryIndex::new, |number| number).await;
}

#[tokio::test]
async fn layered() {
    let fresh = || LayeredIndex::new(Arc::new(MemoryIndex::new()), vec![Arc::new(MemoryIndex::new())]);
    conformance::run(fresh, |number| number).await;
}
