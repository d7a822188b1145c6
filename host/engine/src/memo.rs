//! Remembered answers of frontends, in the store's database: bucket `frontend.memo`, the value behind the time in
//! nanoseconds when it was put there, big endian, and a byte that tells whether it is packed (zstd).

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use kiln_plugin::MemoStore;
use kiln_store::Store;
use kiln_store::StoreError;

use crate::request::BuildRequest;

const BUCKET: &str = "frontend.memo";
/// Length of the time in front of a value.
const TIME: usize = 8;
/// Largest value that is kept, in bytes, packed and unpacked. Graphs that carry files are large as JSON.
const LARGEST: usize = 1 << 20;
const LARGEST_UNPACKED: usize = 64 << 20;
/// Values that are worth packing, in bytes.
const WORTH: usize = 16 << 10;
/// Most bytes of all values; the oldest go first, until half of it is left.
const MOST: usize = 8 << 20;
/// Arguments that may hold passwords and are part of no key and no history.
const PROXIES: &[&str] = &["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// Remembers in the store.
#[derive(Debug)]
pub(crate) struct StoreMemo {
    store: Store,
}

impl StoreMemo {
    /// Returns a memo for frontends of that request; none when what they answer must not be written down.
    pub(crate) fn for_request(store: &Store, request: &BuildRequest) -> Option<Arc<dyn MemoStore>> {
        let private = |(name, _): &(String, String)| PROXIES.contains(&name.to_ascii_lowercase().as_str());
        if request.args.iter().any(private) {
            return None;
        }
        Some(Arc::new(Self { store: store.clone() }))
    }

    /// Makes room.
    pub(crate) fn trim(store: &Store) -> Result<(), StoreError> {
        trim_to(store, MOST)
    }
}

fn trim_to(store: &Store, most: usize) -> Result<(), StoreError> {
    let rows = store.scan(BUCKET, b"")?;
    let mut left: usize = rows.iter().map(|(_, value)| value.len()).sum();
    if left <= most {
        return Ok(());
    }
    let mut rows: Vec<_> = rows
        .iter()
        .map(|(key, value)| (value.get(..TIME), key, value.len()))
        .collect();
    rows.sort_unstable();
    store.transaction(|entries| {
        for (_, key, size) in &rows {
            if left <= most / 2 {
                break;
            }
            entries.delete(BUCKET, key)?;
            left -= size;
        }
        Ok(())
    })
}

#[async_trait]
impl MemoStore for StoreMemo {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let value = self.store.get(BUCKET, key.as_bytes()).ok()??;
        match value.get(TIME..)?.split_first()? {
            (0, plain) => Some(plain.to_vec()),
            (_, packed) => zstd::bulk::decompress(packed, LARGEST_UNPACKED).ok(),
        }
    }

    async fn put(&self, key: &str, value: &[u8]) {
        let packed = match value.len() {
            0..WORTH => None,
            WORTH..=LARGEST_UNPACKED => zstd::bulk::compress(value, 1).ok(),
            _ => return,
        };
        let (kind, value) = packed.as_deref().map_or((0_u8, value), |packed| (1, packed));
        if value.len() > LARGEST {
            return;
        }
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let value = [&(now.as_nanos() as u64).to_be_bytes()[..], &[kind], value].concat();
        // What is not remembered is asked again.
        _ = self.store.put(BUCKET, key.as_bytes(), &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memo(directory: &tempfile::TempDir) -> StoreMemo {
        StoreMemo {
            store: Store::open(directory.path()).unwrap(),
        }
    }

    #[tokio::test]
    async fn what_is_put_is_got() {
        let directory = tempfile::tempdir().unwrap();
        let memo = memo(&directory);
        assert_eq!(memo.get("a").await, None);
        memo.put("a", b"1").await;
        memo.put("a", b"2").await;
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = (0..=LARGEST).map(|_| noise()).collect();
        memo.put("b", &noise).await;
        let large = vec![7; 3 * LARGEST];
        memo.put("c", &large).await;
        memo.put("d", &vec![7; LARGEST_UNPACKED + 1]).await;
        assert_eq!(memo.get("a").await.as_deref(), Some(b"2".as_slice()));
        assert_eq!(memo.get("b").await, None, "too large to be kept");
        assert_eq!(memo.get("c").await.as_ref(), Some(&large), "it is packed");
        assert_eq!(memo.get("d").await, None, "too large when it is unpacked");
    }

    #[tokio::test]
    async fn the_oldest_go_first() {
        let directory = tempfile::tempdir().unwrap();
        let memo = memo(&directory);
        for key in ["c", "a", "b", "d"] {
            memo.put(key, &[0; 91]).await;
        }
        trim_to(&memo.store, 400).unwrap();
        assert!(memo.get("c").await.is_some(), "all fit");
        trim_to(&memo.store, 399).unwrap();
        for (key, there) in [("c", false), ("a", false), ("b", false), ("d", true)] {
            assert_eq!(memo.get(key).await.is_some(), there, "{key}");
        }
    }
}
