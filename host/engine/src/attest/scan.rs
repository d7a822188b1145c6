//! Finds out what is in an image: catalogers get the files that they want.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::Arc;

use kiln_attest::SbomFile;
use kiln_attest::SbomPackage;
use kiln_image::Digest;
use kiln_layer::ContentSource as _;
use kiln_pattern::Patterns;
use kiln_plugin::CatalogError;
use kiln_plugin::Cataloged;
use kiln_plugin::Cataloger;
use kiln_plugin::Component;
use kiln_plugin::Interest;
use kiln_plugin::Matched;
use kiln_plugin::PackageInfo;
use kiln_plugin::ScanDocument;
use kiln_plugin::Scanned;
use kiln_store::StoreError;
use kiln_tree::Entry;
use kiln_tree::Tree;
use kiln_tree::TreePath;
use serde_json::Value;

use crate::config::Finders;
use crate::error::EngineError;
use crate::files::RefTree;
use crate::layers::Layers;
use crate::layers::Ref;

/// Bucket of remembered answers.
const BUCKET: &str = "catalog";
/// Changes when what is remembered changes its shape.
const VERSION: &str = "kiln-catalog-2";
/// Most bytes that one call of a cataloger gets, and most of an interest whose files come with every call, since those
/// of other interests may not be understood without them.
const BATCH: u64 = 64 << 20;
const COMPANIONS: u64 = 16 << 20;

/// What a scan found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scan {
    pub(crate) packages: Vec<SbomPackage>,
    /// Files that show packages, each with the number of its layer.
    pub(crate) files: Vec<(SbomFile, usize)>,
    /// Who found them.
    pub(crate) components: Vec<Component>,
    /// Finished documents of scanners, with their predicate types.
    pub(crate) documents: Vec<(&'static str, Value)>,
    /// What was passed over, in words for people.
    pub(crate) warnings: Vec<String>,
}

/// A file that somebody wants.
struct Wanted {
    path: String,
    layer: usize,
    entry: Entry,
    size: u64,
    /// Who wants it: number of the cataloger and of its interest.
    by: Vec<(usize, usize)>,
}

/// A cataloger with what it wants.
struct Asking {
    cataloger: Arc<dyn Cataloger>,
    interests: Vec<(Interest, Patterns)>,
}

/// Scans a root file system: one walk for all catalogers, then each scanner.
///
/// # Errors
/// When files cannot be read, or a cataloger or scanner fails.
pub(crate) async fn scan(layers: &Layers, stack: &Ref, finders: &Finders) -> Result<Scan, EngineError> {
    let mut scan = catalog(layers, stack, &finders.catalogers).await?;
    for (scanner, options) in &finders.scanners {
        let tree = layers.tree(stack).await?;
        let root = Arc::new(RefTree::new(layers.clone(), tree.clone()));
        let found = scanner.scan(root, options).await?;
        keep_scanned(&mut scan, found, &scanner.component(), &tree);
    }
    Ok(scan)
}

async fn catalog(
    layers: &Layers,
    stack: &Ref,
    catalogers: &[Arc<dyn Cataloger>],
) -> Result<Scan, EngineError> {
    let asking = ask(catalogers).await?;
    let tree = layers.tree(stack).await?;
    let wanted = wanted(&tree, &asking);
    let entries = wanted.iter().map(|wanted| wanted.entry.clone()).collect();
    let source = layers.contents_of(entries).await?;
    let mut scan = Scan::default();
    for (at, asking) in asking.iter().enumerate() {
        scan.components.push(asking.cataloger.component());
        let mine: Vec<(&Wanted, &Interest)> = wanted
            .iter()
            .flat_map(|wanted| wanted.by.iter().map(move |by| (wanted, by)))
            .filter(|(_, by)| by.0 == at)
            .map(|(wanted, by)| (wanted, &asking.interests[by.1].0))
            .collect();
        let sizes: Vec<(&str, u64)> = mine
            .iter()
            .map(|(wanted, interest)| (interest.id.as_str(), wanted.size))
            .collect();
        for batch in batches(&sizes) {
            let batch: Vec<_> = batch.into_iter().map(|at| mine[at]).collect();
            let files = read(&source, &batch)?;
            let found = remembered(layers, &*asking.cataloger, &files).await?;
            keep(&mut scan, found, &batch, &files);
        }
    }
    Ok(scan)
}

async fn ask(catalogers: &[Arc<dyn Cataloger>]) -> Result<Vec<Asking>, EngineError> {
    let mut asking = Vec::new();
    for cataloger in catalogers {
        let failed = |error| EngineError::Catalog(CatalogError::Plugin(error));
        let mut interests = Vec::new();
        for interest in cataloger.interests().await.map_err(failed)? {
            let patterns = Patterns::new(&interest.globs).map_err(|error| {
                EngineError::Catalog(CatalogError::Failed {
                    plugin: cataloger.component().name,
                    message: format!("a pattern of `{}` cannot be used: {error}", interest.id),
                })
            })?;
            interests.push((interest, patterns));
        }
        asking.push(Asking {
            cataloger: cataloger.clone(),
            interests,
        });
    }
    Ok(asking)
}

/// Walks the tree once and notes who wants which file.
fn wanted(tree: &Tree, asking: &[Asking]) -> Vec<Wanted> {
    let mut all = Vec::new();
    for found in tree.walk(&TreePath::root()) {
        let entry = found.entry();
        let bytes = entry.path.as_bytes();
        let Some((size, _)) = tree.file_of(&found) else {
            continue;
        };
        let mut by = Vec::new();
        for (who, asking) in asking.iter().enumerate() {
            for (which, (interest, patterns)) in asking.interests.iter().enumerate() {
                if size <= interest.max_size && patterns.matches(bytes) {
                    by.push((who, which));
                }
            }
        }
        if by.is_empty() {
            continue;
        }
        // Names that are no text are no names of package databases.
        let (Ok(path), Some(entry)) = (std::str::from_utf8(bytes), tree.file(&entry.path)) else {
            continue;
        };
        all.push(Wanted {
            path: path.to_owned(),
            layer: found.layer(),
            entry,
            size,
            by,
        });
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// Splits files, each with its interest and size, into calls. Those of an interest that has few come with every call.
fn batches(files: &[(&str, u64)]) -> Vec<Vec<usize>> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (interest, size) in files {
        *sums.entry(interest).or_default() += size;
    }
    if files.is_empty() {
        return Vec::new();
    }
    if sums.values().sum::<u64>() <= BATCH {
        return vec![(0..files.len()).collect()];
    }
    let (always, rest): (Vec<usize>, Vec<usize>) =
        (0..files.len()).partition(|&at| sums[files[at].0] <= COMPANIONS);
    let (mut batches, mut batch, mut sum) = (Vec::new(), always.clone(), 0);
    for at in rest {
        let size = files[at].1;
        if sum + size > BATCH && sum > 0 {
            batches.push(std::mem::replace(&mut batch, always.clone()));
            sum = 0;
        }
        sum += size;
        batch.push(at);
    }
    batches.push(batch);
    batches
}

fn read(
    source: &crate::layers::Contents,
    batch: &[(&Wanted, &Interest)],
) -> Result<Vec<Matched>, EngineError> {
    let mut files = Vec::new();
    for (wanted, interest) in batch {
        let failed = |source| EngineError::ReadForCatalog {
            path: wanted.path.clone(),
            source,
        };
        let mut content = Vec::new();
        let mut reader = source.open(&wanted.entry).map_err(failed)?;
        reader.read_to_end(&mut content).map_err(failed)?;
        let digest = Digest::of(&content);
        if let Some(head) = interest.head {
            content.truncate(head as usize);
        }
        files.push(Matched {
            interest: interest.id.clone(),
            path: wanted.path.clone(),
            digest,
            content,
        });
    }
    Ok(files)
}

/// Asks the cataloger, or remembers what it said of the same files.
async fn remembered(
    layers: &Layers,
    cataloger: &dyn Cataloger,
    files: &[Matched],
) -> Result<Cataloged, EngineError> {
    let mut key = format!("{VERSION}\n{}\n", cataloger.component().digest);
    for file in files {
        key.push_str(&format!("{}\t{}\t{}\n", file.interest, file.digest, file.path));
    }
    let key = Digest::of(key);
    let store = layers.store();
    let wrong = |error: StoreError| EngineError::Layers(error.into());
    if let Some(bytes) = store.get(BUCKET, key.as_bytes()).map_err(wrong)?
        && let Ok(known) = serde_json::from_slice(&bytes)
    {
        return Ok(known);
    }
    let found = cataloger.catalog(files).await.map_err(EngineError::Catalog)?;
    let bytes = serde_json::to_vec(&found).unwrap_or_default();
    store.put(BUCKET, key.as_bytes(), &bytes).map_err(wrong)?;
    Ok(found)
}

/// Keeps what can be used of an answer: a package needs a name and a proper package URL, and its files must be ones
/// that the cataloger has seen.
fn keep(scan: &mut Scan, found: Cataloged, batch: &[(&Wanted, &Interest)], files: &[Matched]) {
    let seen: BTreeMap<&str, usize> = files
        .iter()
        .enumerate()
        .map(|(at, f)| (f.path.as_str(), at))
        .collect();
    let who = scan.components.last().map(|c| c.name.clone()).unwrap_or_default();
    let warnings = found.warnings.iter();
    scan.warnings
        .extend(warnings.map(|text| format!("cataloger `{who}`: {text}")));
    let mut shown: BTreeSet<usize> = BTreeSet::new();
    for package in found.packages {
        let Some(reason) = problem(&package, &|path| seen.contains_key(path)) else {
            let known = package
                .locations
                .iter()
                .filter_map(|path| seen.get(path.as_str()));
            shown.extend(known);
            scan.packages.push(converted(package));
            continue;
        };
        let name: String = package.name.chars().take(80).collect();
        scan.warnings.push(format!(
            "cataloger `{who}`: package `{name}` is left out: {reason}"
        ));
    }
    // Of a head, the whole file's SHA-1 is not known.
    let whole = |at: &usize| files[*at].content.len() as u64 == batch[*at].0.size;
    for at in shown.into_iter().filter(whole) {
        let file = SbomFile::of(files[at].path.clone(), &files[at].content);
        scan.files.push((file, batch[at].0.layer));
    }
}

/// Keeps what can be used of a scanner's report: packages as of catalogers, their files being ones of the tree, and
/// documents of the kinds that have a predicate type.
fn keep_scanned(scan: &mut Scan, found: Scanned, component: &Component, tree: &Tree) {
    let who = format!("scanner `{}`", component.name);
    scan.components.push(component.clone());
    let warnings = found.warnings.iter();
    scan.warnings
        .extend(warnings.map(|text| format!("{who}: {text}")));
    let there = |path: &str| TreePath::parse(path).is_ok_and(|path| tree.resolve_existing(&path).is_ok());
    for package in found.packages {
        match problem(&package, &there) {
            None => scan.packages.push(converted(package)),
            Some(reason) => {
                let name: String = package.name.chars().take(80).collect();
                scan.warnings
                    .push(format!("{who}: package `{name}` is left out: {reason}"));
            }
        }
    }
    for document in found.documents {
        match predicate(&document) {
            Ok(predicate) => scan.documents.push(predicate),
            Err(reason) => scan
                .warnings
                .push(format!("{who}: a document is left out: {reason}")),
        }
    }
}

/// Returns what a finished document is attached as.
fn predicate(document: &ScanDocument) -> Result<(&'static str, Value), String> {
    let kind = match document.media_type.as_str() {
        "application/spdx+json" => kiln_attest::SPDX,
        "application/vnd.cyclonedx+json" => kiln_attest::CYCLONEDX,
        other => return Err(format!("`{other}` is neither SPDX nor CycloneDX in JSON")),
    };
    let value = serde_json::from_slice(&document.data).map_err(|error| error.to_string())?;
    Ok((kind, value))
}

fn problem(package: &PackageInfo, seen: &dyn Fn(&str) -> bool) -> Option<String> {
    if package.name.is_empty() {
        return Some("it has no name".to_owned());
    }
    if !kiln_attest::is_purl(&package.purl) {
        return Some(format!("`{}` is no package URL", package.purl.escape_debug()));
    }
    let foreign = package.locations.iter().find(|path| !seen(path.as_str()));
    foreign.map(|path| format!("`{}` was not given to it", path.escape_debug()))
}

fn converted(package: PackageInfo) -> SbomPackage {
    let needs = package
        .relations
        .into_iter()
        .filter(|(_, kind)| kind == "DEPENDS_ON");
    SbomPackage {
        name: package.name,
        version: package.version,
        purl: package.purl,
        licenses: package.licenses,
        locations: package.locations,
        needs: needs.map(|(purl, _)| purl).collect(),
        attrs: package.attrs.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_come_with_every_call() {
        const MIB: u64 = 1 << 20;
        let check = |files: &[(&str, u64)], expect: &[&[usize]]| {
            assert_eq!(batches(files), expect, "{files:?}");
        };
        check(&[], &[]);
        check(&[("os", 1), ("file", BATCH - 1)], &[&[0, 1]]);
        let (large, small) = (40 * MIB, MIB);
        let files = [("file", large), ("os", small), ("file", large), ("os", small)];
        check(&files, &[&[1, 3, 0], &[1, 3, 2]]);
        // One that is larger than a call may be comes alone.
        check(
            &[("file", 1), ("file", 3 * BATCH), ("file", 1)],
            &[&[0], &[1], &[2]],
        );
        // Too many companions are none.
        let files = [("a", large), ("b", COMPANIONS), ("b", COMPANIONS), ("a", large)];
        check(&files, &[&[0, 1], &[2, 3]]);
        // No file comes twice but companions, and none is lost.
        check(&[("os", 0), ("file", BATCH), ("file", 0)], &[&[0, 1, 2]]);
    }
}
