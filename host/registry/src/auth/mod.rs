//! Logs in: answers challenges, fetches and keeps tokens. A login goes to the registry that it is for, or to the token
//! server that this registry names.

mod challenge;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::Client;
use crate::Login;
use crate::RegistryError;
use crate::http::Answer;
use crate::http::Call;
use crate::http::Failure;
use crate::http::Payload;
use crate::http::bounded;
use crate::http::message;
use crate::http::redacted;
use challenge::Scheme;

/// Largest answer of a token server.
const TOKEN_BODY: usize = 64 << 10;

/// Life of a token that does not say (distribution's token specification).
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// A token is not used in the last moments of its life.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// A token and its end.
#[derive(Clone)]
struct Token {
    header: HeaderValue,
    until: Instant,
}

/// One token for all who need it at the same time.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// What was learned of registries, and what they gave.
#[derive(Default)]
pub(crate) struct Keyring {
    /// By root of the registry.
    schemes: Mutex<HashMap<Url, Scheme>>,
    /// By root of the registry and scopes.
    tokens: Mutex<HashMap<(Url, String), Slot>>,
    /// By registry. Helpers are asked once.
    logins: tokio::sync::Mutex<HashMap<String, Option<Login>>>,
}

impl Client {
    /// Returns the header for a call to a registry that asked for a login before.
    pub(crate) async fn authorization(
        &self,
        call: &Call,
        base: &Url,
    ) -> Result<Option<HeaderValue>, Failure> {
        let known = lock(&self.inner.keyring.schemes).get(base).cloned();
        match known {
            None => Ok(None),
            Some(Scheme::Basic) => self.basic(call).await,
            Some(bearer) => self.token(call, base, &bearer, None).await.map(Some),
        }
    }

    /// Answers a challenge; `None` when all that can be said was said already.
    pub(crate) async fn challenged(
        &self,
        call: &Call,
        base: &Url,
        headers: &HeaderMap,
        used: Option<HeaderValue>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let Some(scheme) = challenge::parse(headers) else {
            return Ok(None);
        };
        lock(&self.inner.keyring.schemes).insert(base.clone(), scheme.clone());
        let header = match &scheme {
            Scheme::Basic => self.basic(call).await?,
            Scheme::Bearer { .. } => Some(self.token(call, base, &scheme, used.as_ref()).await?),
        };
        Ok(header.filter(|header| Some(header) != used.as_ref()))
    }

    async fn basic(&self, call: &Call) -> Result<Option<HeaderValue>, Failure> {
        match self.login(call).await? {
            Some(Login::Basic { user, password }) => Ok(Some(secret(call, &basic(&user, &password))?)),
            _ => Ok(None),
        }
    }

    async fn login(&self, call: &Call) -> Result<Option<Login>, Failure> {
        let registry = &call.subject.registry;
        let mut logins = self.inner.keyring.logins.lock().await;
        if let Some(login) = logins.get(registry) {
            return Ok(login.clone());
        }
        let login =
            self.inner
                .credentials
                .get(registry)
                .await
                .map_err(|source| RegistryError::Credentials {
                    registry: registry.clone(),
                    source,
                })?;
        logins.insert(registry.clone(), login.clone());
        Ok(login)
    }

    /// Returns a token for the call's scopes, other than `refused`.
    async fn token(
        &self,
        call: &Call,
        base: &Url,
        scheme: &Scheme,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        let key = (base.clone(), call.scopes.join(" "));
        let slot = lock(&self.inner.keyring.tokens).entry(key).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref()
            && token.until > Instant::now()
            && Some(&token.header) != refused
        {
            return Ok(token.header.clone());
        }
        let token = self.fetch_token(call, base, scheme).await?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }

    async fn fetch_token(&self, call: &Call, base: &Url, scheme: &Scheme) -> Result<Token, Failure> {
        let Scheme::Bearer {
            realm,
            service,
            scope,
        } = scheme
        else {
            return Err(protocol(call, base, "expected a Bearer challenge").into());
        };
        self.permit(&call.subject, base, realm)?;
        let login = self.login(call).await?;
        let mut asked = call.scopes.clone();
        asked.extend(scope.iter().filter(|scope| !call.scopes.contains(scope)).cloned());
        let request = token_request(call, realm, service.as_deref(), &asked, login.as_ref())?;
        let TokenRequest { ask, url, header } = request;
        let response = self.follow(&ask, realm, url, header.as_ref()).await?;
        let answer = bounded(&ask, response, self.inner.stall).await?;
        if !answer.status.is_success() {
            return Err(refused_token(&ask, &answer, login.is_some()));
        }
        Ok(parse_token(call, &answer)?)
    }
}

/// What a token server is asked.
struct TokenRequest {
    ask: Call,
    url: Url,
    header: Option<HeaderValue>,
}

fn token_request(
    call: &Call,
    realm: &Url,
    service: Option<&str>,
    asked: &[String],
    login: Option<&Login>,
) -> Result<TokenRequest, Failure> {
    let mut form = Serializer::new(String::new());
    service.iter().for_each(|service| {
        form.append_pair("service", service);
    });
    let mut ask = Call::ping(call.subject.clone());
    ask.limit = TOKEN_BODY;
    let mut url = realm.clone();
    let mut header = None;
    if let Some(Login::IdentityToken(token)) = login {
        form.append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "kiln");
        form.append_pair("scope", &asked.join(" "))
            .append_pair("refresh_token", token);
        ask = ask
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .payload(Payload::Bytes(form.finish().into()));
    } else {
        asked.iter().for_each(|scope| {
            form.append_pair("scope", scope);
        });
        let query = [url.query().unwrap_or_default(), &form.finish()].map(str::to_owned);
        url.set_query(Some(query.join("&").trim_start_matches('&')));
        if let Some(Login::Basic { user, password }) = login {
            header = Some(secret(call, &basic(user, password))?);
        }
    }
    Ok(TokenRequest { ask, url, header })
}

fn refused_token(ask: &Call, answer: &Answer, login: bool) -> Failure {
    Failure {
        error: RegistryError::Token {
            subject: ask.subject.clone(),
            kind: if login { "oauth" } else { "anonymous" },
            method: ask.method.to_string(),
            url: redacted(&answer.url),
            status: answer.status.as_u16(),
            message: message(&answer.body),
        },
        ..answer.failure(ask)
    }
}

fn parse_token(call: &Call, answer: &Answer) -> Result<Token, RegistryError> {
    #[derive(Deserialize)]
    struct Body {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<u64>,
    }
    // The text of a JSON error could quote the token.
    let body: Body = serde_json::from_slice(&answer.body)
        .map_err(|_| answer.protocol(call, "the token server's answer is not the JSON it should be"))?;
    let given = body.token.filter(|token| !token.is_empty()).or(body.access_token);
    let token = given
        .filter(|token| !token.is_empty())
        .ok_or_else(|| answer.protocol(call, "the token server's answer has no `token`"))?;
    let header = secret(call, &format!("Bearer {token}"))?;
    let life = body
        .expires_in
        .map_or(TOKEN_LIFE, |s| Duration::from_secs(s.min(86_400)).max(TOKEN_LIFE));
    Ok(Token {
        header,
        until: Instant::now() + life - TOKEN_MARGIN,
    })
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Returns a header that logs do not show.
fn secret(call: &Call, text: &str) -> Result<HeaderValue, RegistryError> {
    let reason = "the token has characters that no header may have".to_owned();
    let mut header = HeaderValue::from_str(text).map_err(|_| RegistryError::Protocol {
        subject: call.subject.clone(),
        url: call.subject.registry.clone(),
        reason,
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn protocol(call: &Call, url: &Url, reason: &str) -> RegistryError {
    RegistryError::Protocol {
        subject: call.subject.clone(),
        url: redacted(url),
        reason: reason.to_owned(),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
