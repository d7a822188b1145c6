//! EXPOSE: ports, ranges of them and protocols.

use crate::error::SyntaxError;
use crate::go;
use std::net::IpAddr;

/// Turns the words of EXPOSE into `port/protocol` each, ranges written out, in the order given.
///
/// Forms with addresses and host ports (`ip:host:container`) are tolerated; only the container's port counts.
///
/// # Errors
/// The first word that is no port.
pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Vec<String>, SyntaxError> {
    let mut out = Vec::new();
    for word in words {
        let word = word.as_ref();
        let (range, protocol) = parse_one(word)
            .map_err(|reason| SyntaxError::new(format!("invalid port: {}: {reason}", go::quote(word))))?;
        out.extend((range.0..=range.1).map(|port| format!("{port}/{protocol}")));
    }
    Ok(out)
}

type Range = (u16, u16);

fn parse_one(word: &str) -> Result<(Range, String), String> {
    let (host, container) = word
        .rsplit_once(':')
        .map_or((None, word), |(host, port)| (Some(host), port));
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    if port.is_empty() {
        return Err("no port specified".to_owned());
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        _ => return Err(format!("invalid proto: {protocol}")),
    };
    let range = port_range(port).map_err(|reason| format!("invalid containerPort: {port}: {reason}"))?;
    if let Some(host) = host {
        check_host(host, range, port)?;
    }
    Ok((range, protocol))
}

fn check_host(host: &str, container: Range, container_text: &str) -> Result<(), String> {
    let (ip, port) = host.rsplit_once(':').map_or(("", host), |(ip, port)| (ip, port));
    let bare = ip
        .strip_prefix('[')
        .and_then(|ip| ip.strip_suffix(']'))
        .unwrap_or(ip);
    if !is_address(bare) {
        return Err(format!("invalid IP address: {bare}"));
    }
    if port.is_empty() {
        return Ok(());
    }
    let range = port_range(port).map_err(|reason| format!("invalid hostPort: {port}: {reason}"))?;
    // A range on the host is allowed where the container has one port: any of them will do.
    if container.0 != container.1 && range.1 - range.0 != container.1 - container.0 {
        return Err(format!(
            "invalid ranges specified for container and host Ports: {container_text} and {port}"
        ));
    }
    Ok(())
}

/// `::` is what is left of `:::port` forms; nothing at all is fine.
fn is_address(text: &str) -> bool {
    text.is_empty() || text.parse::<IpAddr>().is_ok()
}

fn port_range(text: &str) -> Result<Range, String> {
    let Some((first, last)) = text.split_once('-') else {
        let port = port_number(text)?;
        return Ok((port, port));
    };
    let (first, last) = (port_number(first)?, port_number(last)?);
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}

fn port_number(text: &str) -> Result<u16, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("invalid syntax".to_owned());
    }
    text.parse()
        .map_err(|_| "value out of range (0–65535)".to_owned())
}
