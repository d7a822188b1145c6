//! The local store: blobs by digest and unpacked trees in files, metadata in SQLite.
//!
//! Several processes share one store at once. Whatever is visible is whole: a `kill -9`, a full disk or a power
//! failure at any moment leaves a store that the next process uses. It must not know manifests, layers, builds
//! or tenants; callers see bytes, directories, records and the references between them.
//!
//! The interface blocks; asynchronous callers wrap it.

mod blob;
mod database;
mod durability;
mod entry;
mod error;
mod gc;
mod ingest;
mod layout;
mod lease;
mod object;
mod partial;
mod reconcile;
mod reference;
mod removal;
mod scratch;
mod session;
mod store;
mod tree;
mod usage;

pub use entry::Entries;
pub use error::StoreError;
pub use gc::DiskSpace;
pub use gc::Filter;
pub use gc::GcPolicy;
pub use gc::GcReport;
pub use gc::Scope;
pub use ingest::Ingest;
pub use ingest::UnhashedIngest;
pub use lease::Lease;
pub use object::Object;
pub use object::Owner;
pub use object::OwnerInfo;
pub use object::Pin;
pub use partial::Partial;
pub use scratch::Scratch;
pub use store::Store;
pub use tree::TreeIngest;
pub use usage::Usage;
pub use usage::UsageKind;
pub use usage::UsageRecord;

/// What a call of the store gives.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
