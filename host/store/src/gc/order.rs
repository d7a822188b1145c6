//! In which order records go: BuildKit's, the rank of the last use plus the rank of the number of uses.

/// Sorts what may go, first to go first. `uses_of` gives when a record was last used and how often.
///
/// Each rank counts the distinct values up to the record's own and is scaled to the highest, so that both weigh
/// the same. Records of equal rank stay in the order they come in.
pub(crate) fn sort<T>(records: &mut [T], uses_of: impl Fn(&T) -> (i64, i64)) {
    let uses: Vec<(i64, i64)> = records.iter().map(&uses_of).collect();
    let last = distinct(uses.iter().map(|&(last, _)| last));
    let count = distinct(uses.iter().map(|&(_, count)| count));
    let rank = |values: &[i64], value: i64| {
        let position = values.partition_point(|v| *v <= value);
        // Far below 2^52, where a double stops counting.
        position as f64 / values.len() as f64
    };
    records.sort_by(|a, b| {
        let of = |record: &T| {
            let (used, times) = uses_of(record);
            rank(&last, used) + rank(&count, times)
        };
        of(a).total_cmp(&of(b))
    });
}

fn distinct(values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(records: &[(&str, i64, i64)], expected: &[&str]) {
        let mut records = records.to_vec();
        sort(&mut records, |&(_, last, uses)| (last, uses));
        let names: Vec<&str> = records.iter().map(|r| r.0).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn both_ranks_weigh_the_same() {
        check(&[], &[]);
        check(&[("new", 9, 1), ("old", 1, 1)], &["old", "new"]);
        check(&[("often", 5, 7), ("once", 5, 1)], &["once", "often"]);
        // 1/3 + 3/3, 2/3 + 1/3, 3/3 + 2/3
        check(&[("a", 1, 90), ("b", 2, 1), ("c", 300, 2)], &["b", "a", "c"]);
        // How far the values lie apart says nothing.
        check(&[("a", 1, 3), ("b", 2, 2), ("c", 900, 1)], &["a", "b", "c"]);
    }
}
