//! Sends calls: finds the host, logs in, follows redirects, tries again.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::AUTHORIZATION;
use reqwest::header::CONTENT_LENGTH;
use reqwest::header::HeaderValue;
use url::Url;

use super::Answer;
use super::Backoff;
use super::Call;
use super::Failure;
use super::Payload;
use super::Target;
use super::Trust;
use super::Upload;
use super::bounded;
use super::redacted;
use crate::Client;
use crate::RegistryError;
use crate::Subject;

/// Redirects that are followed at most.
const REDIRECTS: usize = 5;

/// After its last byte, an upload may wait longer for the answer: the registry hashes and moves the blob.
const COMMIT: u32 = 5;

impl Client {
    /// Sends a call until it succeeds, and reads the answer.
    ///
    /// # Errors
    /// When it fails too often, or in a way that does not pass.
    pub(crate) async fn document(&self, call: &Call) -> Result<Answer, RegistryError> {
        let mut backoff = Backoff::new(self.inner.retry);
        loop {
            match self.document_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => backoff.wait(failure).await?,
            }
        }
    }

    /// Sends a call once and reads the answer; other statuses than 2xx are errors.
    pub(crate) async fn document_once(&self, call: &Call) -> Result<Answer, Failure> {
        let response = self.attempt(call).await?;
        let answer = bounded(call, response, self.inner.stall).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(answer.failure(call))
        }
    }

    /// Sends a call once, logs in where the registry asks for it, and returns whatever is answered.
    pub(crate) async fn attempt(&self, call: &Call) -> Result<Response, Failure> {
        let base = self.endpoint(&call.subject).await?;
        let url = match &call.target {
            Target::Url(url) => url.clone(),
            Target::Path(path) => base
                .join(&format!("/v2/{path}"))
                .map_err(|error| not_a_url(&call.subject, &error.to_string()))?,
        };
        self.permit(&call.subject, &base, &url)?;
        let header = self.authorization(call, &base).await?;
        let response = self.follow(call, &base, url.clone(), header.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !same_origin(response.url(), &base) {
            return Ok(response);
        }
        match self.challenged(call, &base, response.headers(), header).await? {
            Some(header) => self.follow(call, &base, url, Some(&header)).await,
            None => Ok(response),
        }
    }

    /// Sends a call and follows redirects. `header` goes to the host of `home` alone.
    pub(crate) async fn follow(
        &self,
        call: &Call,
        home: &Url,
        mut url: Url,
        header: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let start = url.clone();
        for _ in 0..=REDIRECTS {
            let response = self
                .send(call, &url, header.filter(|_| same_origin(&url, home)))
                .await?;
            let Some(next) = redirect(call, &response, &url)? else {
                return Ok(response);
            };
            self.permit(&call.subject, &url, &next)?;
            // The body may be a login.
            if matches!(call.payload, Payload::Bytes(_)) && !same_origin(&url, &next) {
                let reason = "the request's body is not for another host";
                return Err(refused(&call.subject, &url, &next, reason).into());
            }
            url = next;
        }
        Err(refused(&call.subject, &start, &url, "there are more than 5 redirects").into())
    }

    /// Refuses what leads from a host that proves who it is to one that doesn't, or to this machine.
    pub(crate) fn permit(&self, subject: &Arc<Subject>, from: &Url, to: &Url) -> Result<(), RegistryError> {
        let [trusted, target] = [from, to].map(|url| Trust::of(url, &self.insecure));
        let refuse = |reason| Err(refused(subject, from, to, reason));
        match to.scheme() {
            "https" => {}
            "http" if trusted == Trust::Verified => return refuse("it leads from HTTPS to plain HTTP"),
            "http" if target == Trust::Verified => return refuse("plain HTTP is not allowed for that host"),
            "http" => {}
            _ => return refuse("expected an `https` URL"),
        }
        if trusted != Trust::Loopback && target == Trust::Loopback {
            return refuse("it leads to this machine");
        }
        Ok(())
    }

    async fn send(&self, call: &Call, url: &Url, header: Option<&HeaderValue>) -> Result<Response, Failure> {
        let client = self.inner.transport.client(Trust::of(url, &self.insecure))?;
        let mut request = client.request(call.method.clone(), url.clone());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        let stall = self.inner.stall;
        let connection = |error| Failure::connection(&call.subject, url, error);
        let request = match &call.payload {
            Payload::Empty => request,
            Payload::Bytes(bytes) => request.body(bytes.clone()),
            Payload::Upload(upload) => {
                let sending = send_blob(request, upload, stall).await;
                return sending
                    .ok_or_else(|| Failure::stalled(&call.subject, url, stall))?
                    .map_err(connection);
            }
        };
        tokio::time::timeout(stall, request.send())
            .await
            .map_err(|_| Failure::stalled(&call.subject, url, stall))?
            .map_err(connection)
    }

    /// Returns the root of a registry.
    async fn endpoint(&self, subject: &Arc<Subject>) -> Result<Url, Failure> {
        if self.inner.offline {
            let subject = subject.clone();
            return Err(RegistryError::Offline { subject }.into());
        }
        let host = match subject.registry.as_str() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let secure = Url::parse(&format!("https://{host}/"))
            .map_err(|error| not_a_url(subject, &error.to_string()))?;
        let trust = Trust::of(&secure, &self.insecure);
        if trust == Trust::Verified {
            return Ok(secure);
        }
        let cell = self.inner.endpoint(&subject.registry, trust);
        cell.get_or_try_init(|| self.probe(subject, secure))
            .await
            .cloned()
    }

    /// Finds out whether a registry that may speak plain HTTP does.
    async fn probe(&self, subject: &Arc<Subject>, secure: Url) -> Result<Url, Failure> {
        let mut plain = secure.clone();
        if plain.set_scheme("http").is_err() {
            return Ok(secure);
        }
        let mut call = Call::ping(subject.clone());
        call.target = Target::Url(secure.clone());
        for base in [&secure, &plain] {
            let url = base
                .join("/v2/")
                .map_err(|error| not_a_url(subject, &error.to_string()))?;
            match self.send(&call, &url, None).await {
                Ok(_) => return Ok(base.clone()),
                Err(failure) if base == &plain => return Err(failure),
                Err(_) => {}
            }
        }
        Ok(secure)
    }
}

/// Sends a blob; `None` when nothing moved for too long.
async fn send_blob(
    request: RequestBuilder,
    upload: &Upload,
    stall: Duration,
) -> Option<Result<Response, reqwest::Error>> {
    let mut sent = upload.sent.subscribe();
    let request = request.header(CONTENT_LENGTH, upload.size).body(upload.body());
    let mut sending = Box::pin(request.send());
    loop {
        let patience = if *sent.borrow_and_update() >= upload.size {
            stall * COMMIT
        } else {
            stall
        };
        tokio::select! {
            done = &mut sending => return Some(done),
            _ = sent.changed() => {}
            () = tokio::time::sleep(patience) => return None,
        }
    }
}

/// Returns where the answer sends the call.
fn redirect(call: &Call, response: &Response, from: &Url) -> Result<Option<Url>, RegistryError> {
    let reads = call.method == Method::GET || call.method == Method::HEAD;
    let moved = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => reads,
        _ => false,
    };
    if !moved {
        return Ok(None);
    }
    let location = response
        .headers()
        .get("location")
        .and_then(|value| value.to_str().ok());
    let to = location.and_then(|location| from.join(location).ok());
    to.map(Some).ok_or_else(|| {
        let reason = "it redirects without a usable `Location`".to_owned();
        RegistryError::Protocol {
            subject: call.subject.clone(),
            url: redacted(from),
            reason,
        }
    })
}

fn refused(subject: &Arc<Subject>, from: &Url, to: &Url, reason: &'static str) -> RegistryError {
    RegistryError::Redirect {
        subject: subject.clone(),
        from: redacted(from),
        to: redacted(to),
        reason,
    }
}

fn not_a_url(subject: &Arc<Subject>, reason: &str) -> RegistryError {
    RegistryError::Protocol {
        subject: subject.clone(),
        url: subject.registry.clone(),
        reason: reason.to_owned(),
    }
}

/// Returns true when both URLs have the same scheme, host and port.
fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, to: &str, expect: &str) {
        let client = Client::new(crate::Config {
            insecure: vec!["plain.example:5000".to_owned(), "old.example".to_owned()],
            ..crate::Config::default()
        });
        let call = Call::pull(&"r.example/x".parse().unwrap(), "");
        let [from, to] = [from, to].map(|url| Url::parse(url).unwrap());
        let got = client.unwrap().permit(&call.subject, &from, &to);
        let got = got.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
        assert!(got.ends_with(expect), "{from} -> {to}: {got}");
        assert!(!got.contains("secret"), "{got}");
    }

    #[test]
    fn redirects_keep_what_was_proved() {
        check("https://r.example/", "https://cdn.example/x?sig=1", "ok");
        check(
            "https://r.example/",
            "http://r.example/",
            "from HTTPS to plain HTTP",
        );
        check(
            "https://r.example/",
            "http://plain.example:5000/",
            "from HTTPS to plain HTTP",
        );
        check(
            "https://r.example/",
            "https://u:secret@127.0.0.1/?secret",
            "to this machine",
        );
        check(
            "https://r.example/",
            "http://127.0.0.1/",
            "from HTTPS to plain HTTP",
        );
        check(
            "https://r.example/",
            "file:///etc/passwd",
            "expected an `https` URL",
        );
        check("http://plain.example:5000/", "http://plain.example:5000/y", "ok");
        check(
            "http://plain.example:5000/",
            "http://r.example/",
            "not allowed for that host",
        );
        check(
            "http://plain.example:5000/",
            "http://[::1]:80/",
            "to this machine",
        );
        check("http://old.example/", "https://old.example/", "ok");
        check("http://127.0.0.1:5000/", "http://localhost:1/", "ok");
        check(
            "http://127.0.0.1:5000/",
            "http://r.example/",
            "not allowed for that host",
        );
    }
}
