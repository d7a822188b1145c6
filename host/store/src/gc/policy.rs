//! What to remove and how much to keep.

use std::time::Duration;

use super::Filter;

const MB: u64 = 1_000_000;
const GB: u64 = 1_000 * MB;
const HOUR: Duration = Duration::from_secs(3600);

/// One rule of garbage collection, with BuildKit's meaning of each field. Zero spaces mean no cap: everything that
/// the other fields allow goes.
#[derive(Debug, Clone, Default)]
pub struct GcPolicy {
    /// A record that matches any of these may go; when there are none, every record may.
    pub filters: Vec<Filter>,
    /// Which records are spared.
    pub scope: Scope,
    /// Records used more recently stay.
    pub keep_duration: Duration,
    /// Bytes that are kept even when the other limits ask for less.
    pub reserved_space: u64,
    /// Bytes that the store may have at most, not counting what pinned owners keep.
    pub max_used_space: u64,
    /// Bytes that are to be free on the disk.
    pub min_free_space: u64,
}

/// Which records a policy spares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// Spares those of type `internal` and `frontend`, and those that free nothing because an image shares them.
    #[default]
    Cache,
    /// Spares none of these.
    All,
}

/// The disk that the store lies on, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskSpace {
    /// All of it.
    pub total: u64,
    /// What is free for this user.
    pub free: u64,
}

impl GcPolicy {
    /// Returns the policies that BuildKit applies when nothing is configured, in their order.
    pub fn defaults(disk: DiskSpace) -> Vec<Self> {
        let cap = Self {
            reserved_space: (disk.total / 10).min(10 * GB),
            min_free_space: disk.total / 5,
            max_used_space: (disk.total / 5 * 4).min(100 * GB),
            ..Self::default()
        };
        let cheap = ["source.local", "exec.cachemount", "source.git.checkout"];
        vec![
            Self {
                filters: cheap.iter().map(|kind| Filter::of_type(kind)).collect(),
                keep_duration: 48 * HOUR,
                max_used_space: 512 * MB,
                ..Self::default()
            },
            Self {
                keep_duration: 60 * 24 * HOUR,
                ..cap.clone()
            },
            cap.clone(),
            Self {
                scope: Scope::All,
                ..cap
            },
        ]
    }

    /// How many of `total` bytes are to be kept; zero for no cap.
    pub(crate) fn keep_bytes(&self, total: u64, disk: DiskSpace) -> u64 {
        let mut keep = self.max_used_space;
        if self.min_free_space > disk.free {
            let shortage = self.min_free_space - disk.free;
            let wanted = total.saturating_sub(shortage);
            keep = if keep == 0 { wanted } else { keep.min(wanted) };
            // Nothing at all may be kept: that is not the same as no cap.
            keep = keep.max(1);
        }
        keep.max(self.reserved_space)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_buildkit_keeps() {
        let rows = crate::gc::shared_table("calculate_keep_bytes");
        let number = |row: &serde_json::Value, at: &str| {
            row.pointer(at).and_then(serde_json::Value::as_u64).unwrap_or(0)
        };
        assert_eq!(rows.len(), 9);
        for row in &rows {
            let policy = GcPolicy {
                reserved_space: number(row, "/opt/ReservedSpace"),
                max_used_space: number(row, "/opt/MaxUsedSpace"),
                min_free_space: number(row, "/opt/MinFreeSpace"),
                ..GcPolicy::default()
            };
            let disk = DiskSpace {
                total: number(row, "/stat/Total"),
                free: number(row, "/stat/Free"),
            };
            let keep = policy.keep_bytes(number(row, "/totalSize"), disk);
            assert_eq!(keep, number(row, "/result"), "{}", row["name"]);
        }
    }

    #[test]
    fn a_shortage_larger_than_the_store_is_no_lack_of_a_cap() {
        let policy = GcPolicy {
            min_free_space: 500,
            ..GcPolicy::default()
        };
        assert_eq!(
            policy.keep_bytes(
                100,
                DiskSpace {
                    total: 1000,
                    free: 10
                }
            ),
            1
        );
    }

    #[test]
    fn defaults_are_buildkits() {
        let policies = GcPolicy::defaults(DiskSpace {
            total: 50 * GB,
            free: 0,
        });
        let caps: Vec<_> = policies
            .iter()
            .map(|p| {
                (
                    p.filters.len(),
                    p.reserved_space / MB,
                    p.max_used_space / MB,
                    p.min_free_space / MB,
                )
            })
            .collect();
        assert_eq!(
            caps,
            [
                (3, 0, 512, 0),
                (0, 5000, 40000, 10000),
                (0, 5000, 40000, 10000),
                (0, 5000, 40000, 10000)
            ]
        );
        assert_eq!(policies[3].scope, Scope::All);
    }
}
