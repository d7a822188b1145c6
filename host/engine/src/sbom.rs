//! What is in an image or a directory, without a build.

use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use kiln_attest::Sbom;
use kiln_image::Platform;
use kiln_image::Reference;
use kiln_plugin::Ledger;

use crate::Engine;
use crate::attest::Scanned;
use crate::attest::scan;
use crate::context::LocalTree;
use crate::context::Wanted;
use crate::error::BuildError;
use crate::error::EngineError;
use crate::images::Image;
use crate::images::ImageError;
use crate::images::ImageId;
use crate::images::Images;
use crate::images::Layout;
use crate::images::Pull;
use crate::layers::Ref;

/// What the layout is called among the contexts of no build.
const LAYOUT: &str = "layout";
/// Directories of a running system that hold no files of packages.
const NOT_ON_DISK: [&str; 3] = ["dev", "proc", "sys"];

/// What is looked at.
#[derive(Debug, Clone)]
pub enum SbomSource {
    /// An image of the local store, else of its registry.
    Image(Reference),
    /// An image of an OCI layout.
    Layout {
        /// The layout.
        layout: Layout,
        /// `tag` or `@sha256:…`; none is the only one.
        selector: Option<String>,
    },
    /// A directory: a root file system or a project.
    Directory(PathBuf),
}

/// An SBOM as it is asked for.
#[derive(Debug, Clone)]
pub struct SbomRequest {
    /// What is looked at.
    pub source: SbomSource,
    /// What the document calls it.
    pub name: String,
    /// Which image of an index; none is the engine's own platform.
    pub platform: Option<Platform>,
    /// More catalogers and scanners.
    pub generators: Vec<String>,
    /// The time that the document bears.
    pub created: Timestamp,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct SbomReport {
    /// Everything that a document says.
    pub sbom: Sbom,
    /// What was passed over, in words for people.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Finds out what is in an image or a directory. Nothing of it runs.
    ///
    /// # Errors
    /// When it is not there or cannot be read, or a cataloger or scanner fails.
    pub async fn sbom(&self, request: SbomRequest) -> Result<SbomReport, BuildError> {
        let ledger = Ledger::default();
        let finders = self.config().catalogers.open(&request.generators, &ledger).await;
        let finders = finders.map_err(BuildError::Plugin)?;
        let (stack, image) = self.stack_of(&request).await?;
        let mut found = scan(self.layers(), &stack, &finders).await?;
        let mut warnings = std::mem::take(&mut found.warnings);
        if !found.documents.is_empty() {
            warnings.push("finished documents of scanners are only in attestations of builds".to_owned());
        }
        let manifest = image.as_ref();
        let scanned = Scanned {
            name: request.name,
            image: manifest.map(|image| (image.manifest_digest, &image.manifest.layers[..])),
            created: request.created,
        };
        Ok(SbomReport {
            sbom: scanned.sbom(&found),
            warnings,
        })
    }

    async fn stack_of(&self, request: &SbomRequest) -> Result<(Ref, Option<Image>), EngineError> {
        let (id, layouts) = match &request.source {
            SbomSource::Directory(path) => return Ok((self.directory(path).await?, None)),
            SbomSource::Image(reference) => (ImageId::Registry(reference.clone()), HashMap::new()),
            SbomSource::Layout { layout, selector } => {
                let top = layout.select(selector.as_deref()).map_err(ImageError::from)?;
                let id = ImageId::Layout {
                    name: LAYOUT.to_owned(),
                    digest: Some(top.digest),
                };
                (id, HashMap::from([(LAYOUT.to_owned(), layout.clone())]))
            }
        };
        let images = Images::new(self.store().clone(), self.config().registry.clone(), layouts);
        let platform = request.platform.as_ref().unwrap_or(&self.config().platform);
        let image = images.find(&id, platform, Pull::Missing).await?;
        let blobs = image.manifest.layers.iter().zip(image.diff_ids());
        let layers = blobs.map(|(blob, diff_id)| {
            let fetch = image.fetch.clone();
            self.layers().of_image(blob.clone(), diff_id, fetch)
        });
        Ok((Ref::new(layers.collect()), Some(image)))
    }

    /// Reads a directory as a stack of one layer.
    async fn directory(&self, path: &Path) -> Result<Ref, EngineError> {
        let cache = self.store().root().join("contexts");
        let (root, threads) = (path.to_owned(), self.config().threads);
        let exclude: &[&str] = match path.parent() {
            None => &NOT_ON_DISK,
            Some(_) => &[],
        };
        let wanted = Wanted {
            exclude: exclude.iter().map(|&name| name.to_owned()).collect(),
            ..Wanted::default()
        };
        let read = move || LocalTree::read(&root, &wanted, &cache, threads);
        let tree = tokio::task::spawn_blocking(read).await;
        let tree = tree.map_err(|error| EngineError::Panicked(error.to_string()))??;
        Ok(Ref::new(vec![self.layers().of_context(Arc::new(tree))]))
    }
}
