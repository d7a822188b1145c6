//! The two files of `/etc` that belong to a step and not to its image.

use crate::Network;
use crate::Step;
use std::fmt::Write as _;
use std::fs;

/// `/etc/hosts`, as BuildKit writes it.
pub(crate) fn hosts(step: &Step) -> Vec<u8> {
    let mut text = format!(
        "127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
        step.hostname
    );
    for (name, address) in &step.extra_hosts {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text.into_bytes()
}

/// `/etc/resolv.conf`: what the step brings, or else the machine's, without the name servers on the machine's loopback
/// that a private network cannot reach.
pub(crate) fn resolv_conf(step: &Step) -> Vec<u8> {
    if let Some(given) = &step.resolv_conf {
        return given.clone();
    }
    let own = fs::read("/etc/resolv.conf").unwrap_or_default();
    match step.network {
        Network::Host => own,
        Network::Default | Network::None => without_loopback(&String::from_utf8_lossy(&own)).into_bytes(),
    }
}

fn without_loopback(text: &str) -> String {
    let server = |line: &str| line.strip_prefix("nameserver").map(|rest| rest.trim().to_owned());
    let local = |address: &str| address.starts_with("127.") || address == "::1";
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !server(line).is_some_and(|a| local(&a)))
        .collect();
    let mut out = kept.iter().fold(String::new(), |out, line| out + line + "\n");
    if !kept.iter().any(|line| server(line).is_some()) {
        // BuildKit and docker fall back to the same two.
        out += "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::without_loopback;

    #[test]
    fn loopback_name_servers_are_left_out() {
        let table = [
            (
                "nameserver 10.0.0.1\nsearch a b\n",
                "nameserver 10.0.0.1\nsearch a b\n",
            ),
            (
                "nameserver 127.0.0.53\nnameserver 10.0.0.1\n",
                "nameserver 10.0.0.1\n",
            ),
            (
                "nameserver 127.0.0.53\noptions edns0\n",
                "options edns0\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n",
            ),
            ("", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        ];
        for (input, expected) in table {
            assert_eq!(without_loopback(input), expected, "{input:?}");
        }
    }
}
