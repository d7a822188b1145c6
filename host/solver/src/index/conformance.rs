//! What every [`CacheIndex`] must satisfy. Implementations call [`run`] from a test.

use std::collections::BTreeSet;
use std::fmt::Debug;

use kiln_image::Digest;

use super::CacheIndex;
use super::Record;
use crate::key::Alternative;
use crate::key::Entry;
use crate::key::KeyId;
use crate::key::Kind;
use crate::key::Link;
use crate::op::OpKey;

/// Checks an implementation; `fresh` returns an empty index, `result` some result that is equal for equal numbers
/// and differs for different ones.
///
/// # Panics
/// When the implementation does not satisfy the trait's contract.
pub async fn run<R, I>(fresh: impl Fn() -> I, result: impl Fn(u32) -> R)
where
    R: PartialEq + Debug + Send + Sync,
    I: CacheIndex<R>,
{
    nothing_is_known_of_an_empty_index(&fresh()).await;
    saved_results_are_found(&fresh(), &result).await;
    links_are_exact(&fresh(), &result).await;
    links_add_up(&fresh(), &result).await;
    a_link_alone_stores_no_result(&fresh()).await;
    the_newest_result_comes_first(&fresh(), &result).await;
    saving_twice_is_harmless(&fresh(), &result).await;
    an_unknown_record_is_gone(&fresh(), &result).await;
}

fn key(name: &str) -> KeyId {
    KeyId(Digest::of(name))
}

fn definition(name: &str, selector: Option<&str>) -> Alternative {
    Alternative {
        kind: Kind::Definition,
        key: key(name),
        selector: selector.map(Digest::of),
    }
}

fn content(text: &str) -> Alternative {
    let digest = Digest::of(text);
    Alternative {
        kind: Kind::Content(digest),
        key: KeyId::content(&digest),
        selector: None,
    }
}

fn entry(name: &str, inputs: Vec<Vec<Alternative>>) -> Entry {
    Entry {
        key: key(name),
        op: OpKey::of("op"),
        output: 0,
        inputs,
    }
}

fn link(input: u32, selector: Option<&str>) -> Link {
    Link {
        input,
        op: OpKey::of("op").digest,
        output: 0,
        selector: selector.map(Digest::of),
    }
}

#[track_caller]
fn same(got: Result<Vec<KeyId>, super::IndexError>, expect: &[KeyId]) {
    let got = got.expect("a query of a healthy index");
    let distinct: BTreeSet<_> = got.iter().copied().collect();
    assert_eq!(got.len(), distinct.len(), "no duplicates");
    assert_eq!(distinct, expect.iter().copied().collect());
}

async fn all<R, I: CacheIndex<R>>(index: &I, keys: &[KeyId]) -> Vec<R> {
    let mut results = Vec::new();
    for record in index.records(keys).await.expect("records of a healthy index") {
        assert!(
            keys.contains(&record.key),
            "a record names the key it is stored under"
        );
        let result = index.load(&record).await.expect("a load from a healthy index");
        results.push(result.expect("a record that was just listed"));
    }
    results
}

async fn nothing_is_known_of_an_empty_index<R, I: CacheIndex<R>>(index: &I) {
    assert!(
        !index
            .has_any(&OpKey::of("op").digest)
            .await
            .expect("a healthy index")
    );
    same(index.query(&[key("a")], &link(0, None)).await, &[]);
    same(index.query(&[], &link(0, None)).await, &[]);
    assert!(all(index, &[key("a")]).await.is_empty());
    assert!(all(index, &[]).await.is_empty());
}

async fn saved_results_are_found<R, I>(index: &I, result: &impl Fn(u32) -> R)
where
    R: PartialEq + Debug,
    I: CacheIndex<R>,
{
    let saved = entry("k", vec![vec![definition("a", Some("/x")), content("text")]]);
    index.save(&saved, &result(1)).await.expect("a save");
    assert!(
        index
            .has_any(&OpKey::of("op").digest)
            .await
            .expect("a healthy index")
    );
    assert!(
        !index
            .has_any(&OpKey::of("other").digest)
            .await
            .expect("a healthy index")
    );
    same(index.query(&[key("a")], &link(0, Some("/x"))).await, &[key("k")]);
    same(
        index.query(&[content("text").key], &link(0, None)).await,
        &[key("k")],
    );
    same(
        index.query(&[key("z"), key("a")], &link(0, Some("/x"))).await,
        &[key("k")],
    );
    assert_eq!(all(index, &[key("k")]).await, [result(1)]);
    let root = entry("root", Vec::new());
    index
        .save(&root, &result(2))
        .await
        .expect("a save without inputs");
    assert_eq!(all(index, &[key("root")]).await, [result(2)]);
}

async fn links_are_exact<R, I: CacheIndex<R>>(index: &I, result: &impl Fn(u32) -> R) {
    let saved = entry(
        "k",
        vec![vec![definition("a", Some("/x"))], vec![definition("b", None)]],
    );
    index.save(&saved, &result(1)).await.expect("a save");
    same(index.query(&[key("a")], &link(0, None)).await, &[]);
    same(index.query(&[key("a")], &link(0, Some("/y"))).await, &[]);
    same(index.query(&[key("a")], &link(1, Some("/x"))).await, &[]);
    same(index.query(&[key("b")], &link(0, None)).await, &[]);
    same(index.query(&[key("b")], &link(1, None)).await, &[key("k")]);
    same(
        index
            .query(
                &[key("b")],
                &Link {
                    output: 1,
                    ..link(1, None)
                },
            )
            .await,
        &[],
    );
    same(
        index
            .query(
                &[key("b")],
                &Link {
                    op: Digest::of("other"),
                    ..link(1, None)
                },
            )
            .await,
        &[],
    );
}

async fn links_add_up<R, I>(index: &I, result: &impl Fn(u32) -> R)
where
    R: PartialEq + Debug,
    I: CacheIndex<R>,
{
    index
        .save(&entry("k", vec![vec![definition("a", None)]]), &result(1))
        .await
        .expect("a save");
    index
        .link(&entry("k", vec![vec![definition("b", None)]]))
        .await
        .expect("a link");
    index
        .save(&entry("l", vec![vec![definition("a", None)]]), &result(2))
        .await
        .expect("a save");
    same(
        index.query(&[key("a")], &link(0, None)).await,
        &[key("k"), key("l")],
    );
    same(index.query(&[key("b")], &link(0, None)).await, &[key("k")]);
    same(
        index.query(&[key("a"), key("b")], &link(0, None)).await,
        &[key("k"), key("l")],
    );
    assert_eq!(all(index, &[key("k")]).await, [result(1)]);
}

async fn a_link_alone_stores_no_result<R, I: CacheIndex<R>>(index: &I) {
    index
        .link(&entry("k", vec![vec![definition("a", None)]]))
        .await
        .expect("a link");
    same(index.query(&[key("a")], &link(0, None)).await, &[key("k")]);
    assert!(
        index
            .has_any(&OpKey::of("op").digest)
            .await
            .expect("a healthy index")
    );
    assert!(all(index, &[key("k")]).await.is_empty());
}

async fn the_newest_result_comes_first<R, I>(index: &I, result: &impl Fn(u32) -> R)
where
    R: PartialEq + Debug,
    I: CacheIndex<R>,
{
    for (name, number) in [("k", 1), ("l", 2), ("k", 3)] {
        index
            .save(&entry(name, vec![vec![definition("a", None)]]), &result(number))
            .await
            .expect("a save");
    }
    assert_eq!(
        all(index, &[key("k"), key("l")]).await[..2],
        [result(3), result(2)]
    );
    assert_eq!(all(index, &[key("k")]).await[0], result(3));
    assert_eq!(all(index, &[key("l")]).await, [result(2)]);
}

async fn saving_twice_is_harmless<R, I>(index: &I, result: &impl Fn(u32) -> R)
where
    R: PartialEq + Debug,
    I: CacheIndex<R>,
{
    for number in [1, 2, 1] {
        let saved = entry("k", vec![vec![definition("a", None)]]);
        index.save(&saved, &result(number)).await.expect("a save");
    }
    same(index.query(&[key("a")], &link(0, None)).await, &[key("k")]);
    assert_eq!(
        all(index, &[key("k")]).await[0],
        result(1),
        "saved again is newest again"
    );
}

async fn an_unknown_record_is_gone<R, I: CacheIndex<R>>(index: &I, result: &impl Fn(u32) -> R) {
    index
        .save(&entry("k", Vec::new()), &result(1))
        .await
        .expect("a save");
    let [record] = &index.records(&[key("k")]).await.expect("a healthy index")[..] else {
        panic!("one record was saved")
    };
    let unknown = Record {
        id: format!("7{}", record.id),
        ..record.clone()
    };
    assert!(index.load(&unknown).await.expect("absence is no error").is_none());
}
