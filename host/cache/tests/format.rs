//! The format: what BuildKit wrote is read, what is written reads the same, nonsense is refused.

use std::path::PathBuf;

use futures::executor::block_on;
use kiln_cache::Backend;
use kiln_cache::CacheConfig;
use kiln_cache::CacheError;
use kiln_cache::CacheImage;
use kiln_cache::Export;
use kiln_cache::ExportInput;
use kiln_cache::ExportStep;
use kiln_cache::ImportedIndex;
use kiln_cache::LayerInfo;
use kiln_cache::LocalBackend;
use kiln_cache::ManifestForm;
use kiln_cache::Materialise;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::MediaType;
use kiln_solver::CacheIndex;
use kiln_solver::KeyId;
use kiln_solver::Link;

fn captures() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("KILN_SHARED").map_or(beside, PathBuf::from);
    shared.join("reference/captures")
}

fn read(file: &str) -> Vec<u8> {
    let path = captures().join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Results are the layers' digests.
struct Names;

impl Materialise<Vec<Digest>> for Names {
    fn result(&self, layers: &[LayerInfo]) -> Option<Vec<Digest>> {
        Some(layers.iter().map(|layer| layer.descriptor.digest).collect())
    }
}

fn layer(name: &str) -> LayerInfo {
    LayerInfo {
        descriptor: Descriptor::of(MediaType::OCI_LAYER_GZIP, name.as_bytes()),
        diff_id: Digest::of(format!("{name} uncompressed")),
        created: "2026-01-02T03:04:05.678Z".parse().ok(),
    }
}

fn step(key: &str, inputs: &[(usize, Option<&str>, Option<&str>)], result: &[&str]) -> ExportStep {
    let inputs = inputs.iter().map(|(step, selector, content)| ExportInput {
        step: *step,
        selector: selector.map(Digest::of),
        content: content.map(Digest::of),
    });
    ExportStep {
        keys: vec![Digest::of(key)],
        output: 0,
        inputs: inputs.collect(),
        result: (!result.is_empty()).then(|| result.iter().map(|name| layer(name)).collect()),
    }
}

/// A base, a copy from a context that only content tells, a step on it, and a copy from that step onto the base.
fn steps() -> Vec<ExportStep> {
    let context = ExportStep {
        keys: Vec::new(),
        ..step("context", &[], &[])
    };
    vec![
        step("base", &[], &[]),
        context,
        step(
            "copy",
            &[(0, None, None), (1, Some("/a"), Some("a"))],
            &["base", "copy"],
        ),
        step("run", &[(2, Some("/"), None)], &["base", "copy", "run"]),
        step(
            "final",
            &[(0, None, None), (3, Some("/out"), Some("out"))],
            &["base", "final"],
        ),
    ]
}

fn link(op: &str, input: u32, selector: Option<&str>) -> Link {
    Link {
        input,
        op: Digest::of(op),
        output: 0,
        selector: selector.map(Digest::of),
    }
}

fn query(index: &ImportedIndex<Names>, from: &[KeyId], link: &Link) -> Vec<KeyId> {
    block_on(CacheIndex::<Vec<Digest>>::query(index, from, link)).expect("an index in memory")
}

fn results(index: &ImportedIndex<Names>, keys: &[KeyId]) -> Vec<Vec<Digest>> {
    let index: &dyn CacheIndex<Vec<Digest>> = index;
    let records = block_on(index.records(keys)).expect("an index in memory");
    let load = |record| block_on(index.load(record)).expect("an index in memory");
    records.iter().filter_map(load).collect()
}

fn names(layers: &[&str]) -> Vec<Digest> {
    layers.iter().map(|name| layer(name).descriptor.digest).collect()
}

#[test]
fn an_exported_cache_is_found_again() {
    let mut index = ImportedIndex::new(Names);
    index.add(Export::of(&steps())).expect("our own cache");
    let base = KeyId::root(&Digest::of("base"), 0);
    let by_base = query(&index, &[base], &link("copy", 0, None));
    let by_content = query(
        &index,
        &[KeyId::content(&Digest::of("a"))],
        &link("copy", 1, None),
    );
    assert_eq!(by_base, by_content);
    assert_eq!(results(&index, &by_base), [names(&["base", "copy"])]);
    assert!(query(&index, &[base], &link("copy", 1, None)).is_empty());
    let run = query(&index, &by_base, &link("run", 0, Some("/")));
    assert_eq!(results(&index, &run), [names(&["base", "copy", "run"])]);
    assert!(
        query(&index, &by_base, &link("run", 0, None)).is_empty(),
        "the selector counts"
    );
    let fast = query(&index, &run, &link("final", 1, Some("/out")));
    let slow = query(
        &index,
        &[KeyId::content(&Digest::of("out"))],
        &link("final", 1, None),
    );
    assert_eq!(fast, slow);
    assert_eq!(results(&index, &fast), [names(&["base", "final"])]);
    let any = |op: &str| block_on(CacheIndex::<Vec<Digest>>::has_any(&index, &Digest::of(op)));
    assert!(any("run").expect("an index in memory"));
    assert!(!any("other").expect("an index in memory"));
}

#[test]
fn the_document_is_in_order_and_has_no_more_than_it_needs() {
    let image = Export::of(&steps());
    assert_eq!(
        image.config.layers.len(),
        4,
        "layers that stand on the same are shared"
    );
    let blobs: Vec<Digest> = image.config.layers.iter().map(|layer| layer.blob).collect();
    assert!(blobs.is_sorted());
    // base, copy, run, final, and the contents `a` and `out`.
    assert_eq!(image.config.records.len(), 6);
    let digests: Vec<Digest> = image.config.records.iter().map(|record| record.digest).collect();
    assert!(digests.is_sorted());
    let bytes = serde_json::to_vec(&image.config).expect("JSON");
    let again: CacheConfig = serde_json::from_slice(&bytes).expect("what was written is read");
    assert_eq!(again, image.config);
    let text = String::from_utf8(bytes).expect("text");
    assert!(!text.contains("\"parent\":0"), "Go leaves zeros out");
    assert!(text.contains("\"createdAt\":\"2026-01-02T03:04:05.678Z\""));
}

#[test]
fn steps_that_nobody_can_find_are_left_out() {
    let context = ExportStep {
        keys: Vec::new(),
        ..step("context", &[], &[])
    };
    let steps = [context, step("copy", &[(0, Some("/a"), None)], &["copy"])];
    assert!(Export::of(&steps).config.records.is_empty());
}

#[test]
fn captured_documents_are_read_and_written_the_same() {
    for file in ["app-cacheconfig.json", "app-s3-manifest.json"] {
        let bytes = read(file);
        let config: CacheConfig = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{file}: {e}"));
        let ours = serde_json::to_value(&config).expect("JSON");
        let theirs: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(ours, theirs, "{file}");
    }
}

#[tokio::test]
async fn the_captured_directory_leads_to_its_results() {
    let backend = LocalBackend::new(captures().join("tiny-cache-local"), "latest");
    let images = backend.read().await.expect("BuildKit's own cache");
    let [image] = &images[..] else { panic!("one cache") };
    assert_eq!(image.layers.len(), 2);
    let mut index = ImportedIndex::new(Names);
    index.add(image.clone()).expect("BuildKit's own cache");
    let content: Digest = "sha256:c24a47b576469b52903dd7e5045a62fee5855b447dee1771d67b829458d2c08e"
        .parse()
        .expect("a digest");
    // The records hold digests of `<operation>@0`; the index is asked with the operation, which is not in there.
    let index: &dyn CacheIndex<Vec<Digest>> = &index;
    let none = index
        .records(&[KeyId(content)])
        .await
        .expect("an index in memory");
    assert!(none.is_empty(), "content has no result of its own");
    for layer in image.layers.values() {
        let mut bytes = Vec::new();
        let mut sink = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        backend
            .get(&layer.descriptor, 0, &mut sink)
            .await
            .expect("a blob");
        assert_eq!(Digest::of(&bytes), layer.descriptor.digest);
    }
}

fn image_of(json: &str) -> CacheImage {
    let config: CacheConfig =
        serde_json::from_str(&json.replace('D', &Digest::of("d").to_string())).expect(json);
    let layers = [layer("d")].into_iter().map(|info| (Digest::of("d"), info));
    CacheImage {
        config,
        layers: layers.collect(),
    }
}

#[test]
fn nonsense_is_refused_whole() {
    let cases = [
        (
            r#"{"records":[{"digest":"D","inputs":[[{"link":1}]]}]}"#,
            "links to record 1, which is not there",
        ),
        (
            r#"{"records":[{"digest":"D","inputs":[[{"link":0}]]}]}"#,
            "leads to itself",
        ),
        (
            r#"{"records":[{"digest":"D","inputs":[[{"link":1}]]},{"digest":"D","inputs":[[{"link":0}]]}]}"#,
            "leads to itself",
        ),
        (r#"{"records":[{"digest":"D","inputs":[[]]}]}"#, "has no keys"),
    ];
    for (json, expect) in cases {
        let mut index = ImportedIndex::new(Names);
        let error = index.add(image_of(json)).expect_err(json);
        assert!(error.contains(expect), "{json}: {error}");
        assert!(index.is_empty());
    }
}

#[test]
fn results_without_layers_are_no_results() {
    let record = |layers: &str, records: &str| {
        format!(r#"{{"layers":[{layers}],"records":[{{"digest":"D",{records}}}]}}"#)
    };
    let cases = [
        (
            record(r#"{"blob":"D","parent":-1}"#, r#""layers":[{"layer":0}]"#),
            1,
        ),
        (record(r#"{"blob":"D"}"#, r#""layers":[{"layer":0}]"#), 0),
        (
            record(r#"{"blob":"D","parent":7}"#, r#""layers":[{"layer":0}]"#),
            0,
        ),
        (
            record(
                r#"{"blob":"D","parent":1},{"blob":"D"}"#,
                r#""layers":[{"layer":1}]"#,
            ),
            0,
        ),
        (
            record(r#"{"blob":"D","parent":-1}"#, r#""layers":[{"layer":9}]"#),
            0,
        ),
        (
            record(r#"{"blob":"D","parent":-1}"#, r#""chains":[{"layers":[0,0]}]"#),
            1,
        ),
        (
            record(r#"{"blob":"D","parent":-1}"#, r#""chains":[{"layers":[]}]"#),
            0,
        ),
        (
            record(r#"{"blob":"D","parent":-1}"#, r#""chains":[{"layers":[3]}]"#),
            0,
        ),
    ];
    for (json, expect) in cases {
        let mut index = ImportedIndex::new(Names);
        index.add(image_of(&json)).expect("records that make sense");
        let found = results(&index, &[KeyId(Digest::of("d"))]);
        assert_eq!(found.len(), expect, "{json}");
    }
}

#[test]
fn long_chains_end() {
    let records: usize = 50_000;
    let steps: Vec<ExportStep> = (0..records)
        .map(|at| {
            let inputs: Vec<_> = at
                .checked_sub(1)
                .map(|below| (below, None, None))
                .into_iter()
                .collect();
            step(&at.to_string(), &inputs, &[])
        })
        .collect();
    let mut index = ImportedIndex::new(Names);
    index.add(Export::of(&steps)).expect("a long cache");
    let above = query(&index, &[KeyId::root(&Digest::of("0"), 0)], &link("1", 0, None));
    assert_eq!(above.len(), 1);
}

#[tokio::test]
async fn every_form_of_manifest_is_read_back() {
    for form in [ManifestForm::Image, ManifestForm::Index, ManifestForm::DockerList] {
        let dir = tempfile::tempdir().expect("a directory");
        let backend = LocalBackend::new(dir.path(), "latest").form(form);
        let image = filled(&backend, &steps()).await;
        backend.commit(&image).await.expect("a commit");
        let read = backend.read().await.expect("what was written");
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].config, image.config, "{form:?}");
        let diff_ids = |image: &CacheImage| image.layers.values().map(|l| l.diff_id).collect::<Vec<_>>();
        assert_eq!(diff_ids(&read[0]), diff_ids(&image), "{form:?}");
    }
}

/// Stores what the steps' layers are called as their blobs.
async fn filled(backend: &LocalBackend, steps: &[ExportStep]) -> CacheImage {
    let image = Export::of(steps);
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["base", "copy", "run", "final"] {
        let file = dir.path().join(name);
        std::fs::write(&file, name).expect("a file");
        backend.put(&layer(name).descriptor, &file).await.expect("a blob");
    }
    image
}

#[tokio::test]
async fn writers_of_one_directory_do_not_harm_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let writers = (0..8).map(|number| {
        let backend = LocalBackend::new(dir.path(), &format!("tag{number}"));
        async move {
            let image = filled(&backend, &steps()).await;
            backend.commit(&image).await.expect("a commit");
        }
    });
    futures::future::join_all(writers).await;
    for number in 0..8 {
        let backend = LocalBackend::new(dir.path(), &format!("tag{number}"));
        assert_eq!(backend.read().await.expect("every tag is there").len(), 1);
    }
    assert!(!dir.path().join("index.json.lock").exists());
    let left = std::fs::read_dir(dir.path().join("ingest"))
        .expect("it is there")
        .count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_reset_removes_what_no_cache_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let backend = LocalBackend::new(dir.path(), "latest");
    let image = filled(&backend, &steps()).await;
    backend.commit(&image).await.expect("a commit");
    let less = Export::of(&steps()[..3]);
    backend.clone().resetting().commit(&less).await.expect("a commit");
    let there: Vec<Descriptor> = ["base", "copy", "run", "final"]
        .map(|name| layer(name).descriptor)
        .to_vec();
    let absent = backend.absent(&there).await.expect("a directory");
    let expect: Vec<Digest> = ["run", "final"]
        .map(|name| layer(name).descriptor.digest)
        .to_vec();
    assert_eq!(absent, expect);
    assert_eq!(
        backend.read().await.expect("the smaller cache")[0].config,
        less.config
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_directory_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let backend = LocalBackend::new(dir.path(), "latest");
    assert!(matches!(backend.read().await, Err(CacheError::NoCache(_))));
    let image = filled(&backend, &steps()).await;
    backend.commit(&image).await.expect("a commit");
    let other = LocalBackend::new(dir.path(), "other");
    assert!(matches!(other.read().await, Err(CacheError::NoCache(_))));
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("index.json")).expect("a file")).expect("JSON");
    let digest: Digest = index["manifests"][0]["digest"]
        .as_str()
        .expect("text")
        .parse()
        .expect("a digest");
    let by_digest = other.at(digest);
    assert_eq!(by_digest.read().await.expect("by its digest").len(), 1);
    let manifest = dir.path().join("blobs/sha256").join(digest.hex());
    std::fs::write(&manifest, "{}").expect("a file");
    assert!(matches!(backend.read().await, Err(CacheError::Corrupt { .. })));
    std::fs::remove_file(&manifest).expect("a file");
    assert!(matches!(backend.read().await, Err(CacheError::NoBlob { .. })));
    std::fs::write(dir.path().join("index.json"), "nonsense").expect("a file");
    assert!(matches!(backend.read().await, Err(CacheError::Invalid { .. })));
}

#[test]
fn a_cache_inside_an_image_comes_back() {
    let image = Export::of(&steps());
    let layers = ["base", "final"].map(layer);
    let digests: Vec<Digest> = layers.iter().map(|layer| layer.descriptor.digest).collect();
    let text = kiln_cache::inline(&image, &digests).expect("one result is the image");
    let manifest = kiln_image::Manifest {
        schema_version: 2,
        media_type: MediaType::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config: Descriptor::of(MediaType::OCI_CONFIG, b""),
        layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let config = serde_json::json!({
        "moby.buildkit.cache.v0": text,
        "rootfs": {"diff_ids": layers.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>()},
    });
    let found = kiln_cache::inline_caches(&manifest, config.to_string().as_bytes())
        .expect("what was written")
        .expect("there is one");
    let mut index = ImportedIndex::new(Names);
    index.add(found).expect("our own cache");
    let out = query(
        &index,
        &[KeyId::content(&Digest::of("out"))],
        &link("final", 1, None),
    );
    assert_eq!(results(&index, &out), [names(&["base", "final"])]);
    let copy = query(
        &index,
        &[KeyId::content(&Digest::of("a"))],
        &link("copy", 1, None),
    );
    assert_eq!(
        results(&index, &copy),
        Vec::<Vec<Digest>>::new(),
        "not all of its layers are in the image"
    );
    assert!(kiln_cache::inline(&image, &[]).is_none());
}
