//! What the host does outside this machine for cache adapters: a bucket, and requests to granted hosts.

use kiln_plugin::HostError;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::call::CallState;
use crate::call::handle::BucketHandle;
use crate::v0_1::bindings::api::kiln::plugin::http;
use crate::v0_1::bindings::api::kiln::plugin::objects;
use crate::v0_1::bindings::api::kiln::plugin::types::Error;
use crate::v0_1::convert::Convert;

/// Most bytes of an object that an adapter reads itself; blobs are the host's to move.
const OBJECT: u64 = 64 << 20;
/// Longest key, as in S3.
const KEY: usize = 1024;
/// Most keys of one page.
const PAGE: u32 = 1000;
/// Number of the bucket: there is one for each call.
const BUCKET: u32 = 1;

fn check_key(key: &str) -> Result<(), Error> {
    let clean = |name: &str| !matches!(name, "" | "." | "..");
    if key.len() <= KEY && !key.contains(|c: char| c.is_control()) && key.split('/').all(clean) {
        return Ok(());
    }
    let shown: String = key.chars().take(80).collect();
    Err(Error::Invalid(format!(
        "`{}` is no clean key",
        shown.escape_debug()
    )))
}

/// Asks the outside about a key.
macro_rules! ask_key {
    ($state:ident, $key:ident, $sent:expr, $weigh:expr, $ask:expr) => {{
        if let Err(error) = check_key(&$key) {
            return Ok(Err(error));
        }
        let sent = $key.len() as u64 + $sent;
        let answer = $state.session.outside(sent, $ask, $weigh).await?;
        Ok(answer.map_err(Convert::convert))
    }};
}

impl objects::Host for CallState {
    async fn open(&mut self) -> Result<Result<Resource<BucketHandle>, Error>> {
        let opened = self
            .session
            .outside(0, |o| async move { o.open_bucket() }, |()| 0);
        Ok(opened
            .await?
            .map(|()| Resource::new_own(BUCKET))
            .map_err(Convert::convert))
    }
}

impl objects::HostBucket for CallState {
    async fn head(
        &mut self,
        _: Resource<BucketHandle>,
        key: String,
    ) -> Result<Result<Option<objects::ObjectInfo>, Error>> {
        ask_key!(self, key, 0, |_| 64, |o| async move {
            o.head(&key).await.map(Convert::convert)
        })
    }

    async fn get(
        &mut self,
        _: Resource<BucketHandle>,
        key: String,
        limit: u64,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let limit = limit.min(OBJECT);
        let weigh = |found: &Option<Vec<u8>>| found.as_ref().map_or(0, |data| data.len() as u64);
        ask_key!(self, key, 0, weigh, |o| async move { o.get(&key, limit).await })
    }

    async fn put(
        &mut self,
        _: Resource<BucketHandle>,
        key: String,
        data: Vec<u8>,
        condition: objects::Condition,
    ) -> Result<Result<bool, Error>> {
        let condition = condition.convert();
        ask_key!(self, key, data.len() as u64, |_| 1, |o| async move {
            o.put(&key, data, &condition).await
        })
    }

    async fn list(
        &mut self,
        _: Resource<BucketHandle>,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Result<Vec<objects::ObjectInfo>, Error>> {
        let long = prefix.len() > KEY || after.as_ref().is_some_and(|after| after.len() > KEY);
        if long {
            return Ok(Err(Error::Invalid(format!("a key has at most {KEY} bytes"))));
        }
        let limit = if limit == 0 { PAGE } else { limit.min(PAGE) } as usize;
        let weigh = |found: &Vec<kiln_plugin::ObjectInfo>| {
            found.iter().map(|object| object.key.len() as u64 + 64).sum()
        };
        let ask = |o: std::sync::Arc<dyn kiln_plugin::CacheBridge>| async move {
            o.list(&prefix, after.as_deref(), limit).await
        };
        Ok(self.session.outside(64, ask, weigh).await?.convert())
    }

    async fn delete(&mut self, _: Resource<BucketHandle>, key: String) -> Result<Result<(), Error>> {
        ask_key!(self, key, 0, |()| 0, |o| async move { o.delete(&key).await })
    }

    async fn touch(&mut self, _: Resource<BucketHandle>, key: String) -> Result<Result<(), Error>> {
        ask_key!(self, key, 0, |()| 0, |o| async move { o.touch(&key).await })
    }

    async fn drop(&mut self, _: Resource<BucketHandle>) -> Result<()> {
        Ok(())
    }
}

impl http::Host for CallState {
    async fn fetch(&mut self, request: http::Request) -> Result<Result<http::Response, Error>> {
        let request: kiln_plugin::HttpRequest = request.convert();
        if let Err(why) = check_request(&request) {
            return Ok(Err(Error::Invalid(why)));
        }
        let sent = (request.url.len() + request.body.len()) as u64;
        let weigh = |response: &kiln_plugin::HttpResponse| {
            let headers: usize = response.headers.iter().map(|(k, v)| k.len() + v.len()).sum();
            (response.body.len() + headers) as u64
        };
        let ask = |o: std::sync::Arc<dyn kiln_plugin::CacheBridge>| async move { o.fetch(&request).await };
        let answer: Result<kiln_plugin::HttpResponse, HostError> =
            self.session.outside(sent, ask, weigh).await?;
        Ok(answer.convert())
    }
}

/// Longest URL and longest header, most headers.
const URL: usize = 8 << 10;
const HEADERS: usize = 64;

/// Bounds a request's form; returns what is wrong with it. What it may reach is decided by who sends it.
pub(super) fn check_request(request: &kiln_plugin::HttpRequest) -> Result<(), String> {
    const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];
    let method: String = request.method.chars().take(20).collect();
    if !METHODS.contains(&request.method.as_str()) {
        let known = METHODS.join(", ");
        return Err(format!(
            "`{}` is no method (expected {known})",
            method.escape_debug()
        ));
    }
    let headers = &request.headers;
    let long = |(name, value): &(String, String)| name.len() + value.len() > URL;
    if request.url.len() > URL || headers.len() > HEADERS || headers.iter().any(long) {
        return Err(format!(
            "a request has a URL of at most {URL} bytes and at most {HEADERS} headers"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_keys_pass() {
        let check = |key: &str, expect: bool| assert_eq!(check_key(key).is_ok(), expect, "{key:?}");
        check("a", true);
        check("blobs/sha256/ab", true);
        check("sha256:ab", true);
        for wrong in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\nb", "a\0"] {
            check(wrong, false);
        }
        check(&"a".repeat(1025), false);
    }

    #[test]
    fn requests_are_bounded() {
        let request = |method: &str, url: usize, headers: usize| kiln_plugin::HttpRequest {
            method: method.to_owned(),
            url: "u".repeat(url),
            headers: vec![(String::new(), String::new()); headers],
            body: Vec::new(),
            auth: None,
        };
        assert_eq!(check_request(&request("GET", 100, 3)), Ok(()));
        for wrong in [
            request("get", 1, 0),
            request("CONNECT", 1, 0),
            request("GET\r\nX: y", 1, 0),
            request("GET", URL + 1, 0),
            request("GET", 1, HEADERS + 1),
        ] {
            assert!(check_request(&wrong).is_err(), "{}", wrong.method);
        }
    }
}
