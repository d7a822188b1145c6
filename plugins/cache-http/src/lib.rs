//! Keeps caches on HTTP servers with PUT and GET, laid out as Bazel's remote caches speak it: blobs under
//! `URL/cas/SHA256`, documents under `URL/ac/SHA256-OF-THEIR-NAME`. bazel-remote, nginx with WebDAV and object stores
//! behind a proxy will do.
//!
//! Knows no credential: it names one, and the host sends it.

use std::cell::RefCell;

use kiln_sdk::Error;
use kiln_sdk::cache::BlobRef;
use kiln_sdk::cache::Cache;
use kiln_sdk::cache::GetPlan;
use kiln_sdk::cache::PutPlan;
use kiln_sdk::cache::http;
use kiln_sdk::types::Attr;
use sha2::Digest;
use sha2::Sha256;

/// The cache adapter `http`.
#[derive(Debug, Clone, Copy)]
pub struct Http;

kiln_sdk::export_cache!(Http);

/// What the user says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Settings {
    /// Where everything is, without a slash at its end.
    url: String,
    /// Name of the secret that is sent.
    auth: Option<String>,
}

thread_local! {
    static SETTINGS: RefCell<Settings> = RefCell::default();
}

impl Settings {
    fn parse(config: &[Attr]) -> Result<Self, String> {
        let mut settings = Self::default();
        for attr in config {
            match attr.key.as_str() {
                "url" => settings.url = attr.value.trim_end_matches('/').to_owned(),
                "auth" => settings.auth = Some(attr.value.clone()),
                other => return Err(format!("unknown parameter `{other}`: expected `url` or `auth`")),
            }
        }
        let has_scheme = |scheme: &str| settings.url.starts_with(scheme);
        match has_scheme("http://") || has_scheme("https://") {
            true => Ok(settings),
            false => Err("`url` is required: expected `url=https://HOST/PATH`".to_owned()),
        }
    }

    fn request(&self, method: &str, path: &str) -> http::Request {
        http::Request {
            method: method.to_owned(),
            url: format!("{}/{path}", self.url),
            headers: Vec::new(),
            body: Vec::new(),
            auth: self.auth.clone(),
        }
    }

    fn blob(&self, method: &str, blob: &BlobRef) -> Result<http::Request, Error> {
        let hex = blob.digest.strip_prefix("sha256:");
        let hex = hex.ok_or_else(|| Error::Invalid(format!("`{}` is no SHA-256 digest", blob.digest)))?;
        Ok(self.request(method, &format!("cas/{hex}")))
    }

    fn manifest(&self, method: &str, name: &str) -> http::Request {
        let sum = Sha256::digest(format!("kiln cache {name}"));
        let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        self.request(method, &format!("ac/{hex}"))
    }
}

fn settings() -> Settings {
    SETTINGS.with_borrow(Clone::clone)
}

/// Returns whether a response says that something is there.
fn is_there(request: &http::Request, status: u16) -> Result<bool, Error> {
    match status {
        200..=299 => Ok(true),
        404 | 410 => Ok(false),
        status => Err(Error::Unavailable(format!(
            "`{} {}` was answered with status {status}",
            request.method, request.url
        ))),
    }
}

impl Cache for Http {
    fn open(config: Vec<Attr>) -> Result<(), Error> {
        SETTINGS.set(Settings::parse(&config).map_err(Error::Invalid)?);
        Ok(())
    }

    fn plan_get(blobs: Vec<BlobRef>) -> Result<Vec<GetPlan>, Error> {
        // What is not there is answered so when it is asked for: no second request to find out.
        let settings = settings();
        let plan = |blob| Ok(GetPlan::Http(settings.blob("GET", blob)?));
        blobs.iter().map(plan).collect()
    }

    fn plan_put(blobs: Vec<BlobRef>) -> Result<Vec<PutPlan>, Error> {
        let settings = settings();
        let plan = |blob: &BlobRef| {
            let head = settings.blob("HEAD", blob)?;
            let found = http::fetch(&head)?;
            let length = found.headers.iter().find(|header| header.key == "content-length");
            let is_whole = length.is_none_or(|length| length.value == blob.size.to_string());
            Ok(match is_there(&head, found.status)? && is_whole {
                true => PutPlan::Present,
                false => PutPlan::Http(settings.blob("PUT", blob)?),
            })
        };
        blobs.iter().map(plan).collect()
    }

    fn get_manifest(name: String) -> Result<Option<Vec<u8>>, Error> {
        let request = settings().manifest("GET", &name);
        let found = http::fetch(&request)?;
        Ok(is_there(&request, found.status)?.then_some(found.body))
    }

    fn put_manifest(name: String, data: Vec<u8>) -> Result<(), Error> {
        let mut request = settings().manifest("PUT", &name);
        request.body = data;
        let stored = http::fetch(&request)?;
        match is_there(&request, stored.status)? {
            true => Ok(()),
            false => Err(Error::NotFound(format!(
                "there is no `{}` to write to",
                request.url
            ))),
        }
    }

    fn commit(_: Vec<BlobRef>) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(key: &str, value: &str) -> Attr {
        Attr {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn parameters_are_checked() {
        let url = attr("url", "https://cache.example.com/kiln/");
        let settings = Settings::parse(&[url, attr("auth", "token")]).unwrap();
        assert_eq!(settings.url, "https://cache.example.com/kiln");
        assert_eq!(settings.auth.as_deref(), Some("token"));
        for wrong in [&[][..], &[attr("url", "ftp://h")], &[attr("folder", "x")]] {
            assert!(Settings::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn things_are_where_bazel_has_them() {
        let settings = Settings::parse(&[attr("url", "http://h/c")]).unwrap();
        let blob = |digest: &str| BlobRef {
            digest: digest.to_owned(),
            size: 1,
        };
        let request = settings.blob("GET", &blob("sha256:ab")).unwrap();
        assert_eq!(
            (request.method.as_str(), request.url.as_str()),
            ("GET", "http://h/c/cas/ab")
        );
        assert!(settings.blob("GET", &blob("md5:ab")).is_err());
        let manifest = settings.manifest("PUT", "main").url;
        let hex = manifest.strip_prefix("http://h/c/ac/").unwrap();
        assert!(
            hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()),
            "{hex}"
        );
        assert_ne!(manifest, settings.manifest("PUT", "other").url);
    }
}
