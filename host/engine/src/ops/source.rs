//! Brings things in: images, layouts, local contexts, repositories, files of http servers.

use std::sync::Arc;

use kiln_fetch::GitSource;
use kiln_fetch::HttpSource;
use kiln_graph::Source;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_solver::CacheMap;
use kiln_solver::OpContext;
use kiln_solver::OpKey;
use kiln_solver::Scope;

use crate::build::BuildContext;
use crate::context::Wanted;
use crate::error::EngineError;
use crate::images::ImageId;
use crate::keys;
use crate::layers::Ref;

/// What a source's identifier names.
enum Kind<'a> {
    Image(ImageId),
    Local(&'a str),
    Git(Box<GitSource>),
    Http(Box<HttpSource>),
}

fn kind(source: &Source) -> Result<Kind<'_>, EngineError> {
    let identifier = source.identifier.as_str();
    if let Some(name) = identifier.strip_prefix("local://") {
        return Ok(Kind::Local(name));
    }
    match identifier.split_once("://").map(|(scheme, _)| scheme) {
        Some("docker-image" | "oci-layout") => Ok(Kind::Image(identifier.parse()?)),
        Some("git") => Ok(Kind::Git(Box::new(GitSource::parse(identifier, &source.attrs)?))),
        Some("http" | "https") => Ok(Kind::Http(Box::new(HttpSource::parse(
            identifier,
            &source.attrs,
        )?))),
        _ => Err(EngineError::UnknownSource(identifier.to_owned())),
    }
}

pub(super) async fn cache_map(
    build: &Arc<BuildContext>,
    source: &Source,
    platform: &Platform,
    vertex: Digest,
) -> Result<CacheMap, EngineError> {
    match kind(source)? {
        Kind::Local(name) => {
            let preimage = format!("session:{}:{name}:{:?}", build.session, source.attrs);
            Ok(CacheMap {
                keys: vec![OpKey::of(preimage)],
                deps: Vec::new(),
                scope: Scope::SessionLocal,
            })
        }
        Kind::Image(id) => {
            let image = build.image(&id, platform, "", None).await?;
            if !build.request.cache_from.is_empty() {
                // Imported results stand on the same layers: theirs are then the image's.
                let layers = build.image_layers(&image, Some(vertex));
                layers.layers().iter().for_each(|layer| build.keep(layer.clone()));
            }
            let manifest = keys::image_manifest(&image.manifest_digest, platform);
            let chain = keys::image_chain(&image.diff_ids());
            let keys = [Some(manifest), chain]
                .into_iter()
                .flatten()
                .map(OpKey::of)
                .collect();
            Ok(CacheMap {
                keys,
                deps: Vec::new(),
                scope: Scope::Stored,
            })
        }
        Kind::Git(git) => {
            let resolved = build.commit(&git, vertex).await.map_err(unknown)?;
            Ok(stored(keys::git(&resolved.key(&git))))
        }
        Kind::Http(http) => {
            let file = build.http_file(&http, vertex).await.map_err(unknown)?;
            let (name, modified) = (&file.filename, file.last_modified.as_deref());
            let key = keys::http(&http, name, &file.digest, modified);
            Ok(stored(match super::deb::wanted(source)? {
                true => format!("{key}:deb"),
                false => key,
            }))
        }
    }
}

fn unknown(error: EngineError) -> EngineError {
    match error {
        EngineError::Fetch(source) => EngineError::SourceKey(source),
        other => other,
    }
}

fn stored(key: String) -> CacheMap {
    CacheMap {
        keys: vec![OpKey::of(key)],
        deps: Vec::new(),
        scope: Scope::Stored,
    }
}

pub(super) async fn run(
    build: &Arc<BuildContext>,
    ctx: &OpContext,
    source: &Source,
    platform: &Platform,
) -> Result<Ref, EngineError> {
    match kind(source)? {
        Kind::Local(name) => {
            let context = build
                .local(name, wanted(source)?, Some(ctx.vertex().digest))
                .await?;
            Ok(Ref::new(vec![context.layer.clone()]))
        }
        Kind::Image(id) => {
            let image = build.image(&id, platform, "", None).await?;
            Ok(build.image_layers(&image, Some(ctx.vertex().digest)))
        }
        Kind::Git(git) => build.checkout(&git, ctx.vertex().digest).await,
        Kind::Http(http) => {
            let fetched = build.http_layer(&http, ctx.vertex().digest).await?;
            match super::deb::wanted(source)? {
                true => super::deb::unpack(build, &fetched, ctx.vertex().name.clone()).await,
                false => Ok(fetched),
            }
        }
    }
}

/// Reads the patterns of a local source.
fn wanted(source: &Source) -> Result<Wanted, EngineError> {
    let list = |key: &str| match source.attrs.get(key) {
        None => Ok(Vec::new()),
        Some(text) => serde_json::from_str(text).map_err(|_| EngineError::Attribute {
            key: key.to_owned(),
            value: text.clone(),
        }),
    };
    Ok(Wanted {
        include: list("local.includepattern")?,
        exclude: list("local.excludepatterns")?,
        follow: list("local.followpaths")?,
    })
}
