//! Parses `WWW-Authenticate` (RFC 9110 §11.6.1).

use reqwest::header::HeaderMap;
use reqwest::header::WWW_AUTHENTICATE;
use url::Url;

/// Longest header that is parsed.
const LONGEST: usize = 8 << 10;

/// How a registry wants to be logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// With name and password.
    Basic,
    /// With a token of a token server.
    Bearer {
        /// The token server.
        realm: Url,
        /// What it calls the registry.
        service: Option<String>,
        /// What the registry wants to be allowed.
        scope: Option<String>,
    },
}

/// Returns the best challenge that can be answered: a token before a password.
pub(super) fn parse(headers: &HeaderMap) -> Option<Scheme> {
    let mut schemes = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        if let Ok(text) = value.to_str()
            && text.len() <= LONGEST
        {
            schemes.extend(parse_one(text));
        }
    }
    let bearer = schemes.iter().position(|s| matches!(s, Scheme::Bearer { .. }));
    (!schemes.is_empty()).then(|| schemes.swap_remove(bearer.unwrap_or(0)))
}

/// Parses one header; it may have several challenges.
fn parse_one(text: &str) -> Vec<Scheme> {
    let mut challenges: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let word_end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        if word.is_empty() {
            break;
        }
        let word = word.to_ascii_lowercase();
        let after = after.trim_start();
        match (after.strip_prefix('='), challenges.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = take_value(value.trim_start());
                parameters.push((word, value));
                rest = after;
            }
            (Some(_), None) => break, // a parameter of no challenge
            (None, _) => {
                challenges.push((word, Vec::new()));
                rest = after;
            }
        }
    }
    challenges
        .into_iter()
        .filter_map(|(name, parameters)| scheme(&name, &parameters))
        .collect()
}

/// Takes a token or a quoted string.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

fn scheme(name: &str, parameters: &[(String, String)]) -> Option<Scheme> {
    let get = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    match name {
        "basic" => Some(Scheme::Basic),
        "bearer" => Some(Scheme::Bearer {
            realm: Url::parse(&get("realm")?).ok()?,
            service: get("service"),
            scope: get("scope"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, text.parse().unwrap());
        let got = match parse(&headers) {
            None => "none".to_owned(),
            Some(Scheme::Basic) => "basic".to_owned(),
            Some(Scheme::Bearer {
                realm,
                service,
                scope,
            }) => {
                let [service, scope] = [service, scope].map(|v| v.unwrap_or_else(|| "-".to_owned()));
                format!("{realm} {service} {scope}")
            }
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn challenges_are_parsed() {
        check(
            r#"Bearer realm="https://a.example/t",service="s",scope="repository:x:pull,push""#,
            "https://a.example/t s repository:x:pull,push",
        );
        check(
            r#"bearer  REALM = "https://a.example/t" , service=s"#,
            "https://a.example/t s -",
        );
        check(
            r#"Bearer realm="https://a.example/\"q""#,
            "https://a.example/%22q - -",
        );
        check(r#"Basic realm="x, Bearer realm=y""#, "basic");
        check(
            r#"Basic realm="x", Bearer realm="https://a.example/""#,
            "https://a.example/ - -",
        );
        for nothing in [
            "",
            "Negotiate",
            "Bearer",
            r#"Bearer realm="""#,
            "Bearer realm=nonsense",
            "=",
            "a=b",
            "\"",
            "Digest a=\"b",
        ] {
            check(nothing, "none");
        }
    }
}
