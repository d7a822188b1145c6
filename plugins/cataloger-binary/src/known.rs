//! Programs that people copy in by hand, and the words by which each tells its version.

use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;

use crate::words::Words;
use crate::words::find;
use crate::words::leading_version;

/// Libraries that hold what a small program only starts.
pub(crate) const LIBRARIES: [&str; 8] = [
    "**/libpython*.so*",
    "**/libruby*.so*",
    "**/libphp*.so",
    "**/libjvm.so",
    "**/libperl.so*",
    "**/libnode.so*",
    "**/python[23].*",
    "**/php[5-9].*",
];

/// A program.
struct Program {
    /// Starts of the file's name; digits, dots and what is behind may follow.
    files: &'static [&'static str],
    name: &'static str,
    /// Vendor and product of its CPE.
    cpe: (&'static str, &'static str),
    words: &'static [Words],
}

const fn words(before: &'static str, after: &'static str, dots: usize) -> Words {
    Words { before, after, dots }
}

const KNOWN: &[Program] = &[
    Program {
        files: &["node", "nodejs", "libnode"],
        name: "node",
        cpe: ("nodejs", "node.js"),
        words: &[words("node.js/v", "", 2)],
    },
    Program {
        files: &["ruby", "libruby"],
        name: "ruby",
        cpe: ("ruby-lang", "ruby"),
        words: &[words("ruby ", " p(", 2)],
    },
    Program {
        files: &["php", "php-fpm", "php-cgi", "libphp"],
        name: "php",
        cpe: ("php", "php"),
        words: &[words("X-Powered-By: PHP/", "", 2)],
    },
    Program {
        files: &["java", "libjvm"],
        name: "openjdk",
        cpe: ("oracle", "openjdk"),
        words: &[
            words("\0openjdk\0java\x000.0\0", "", 0),
            words("\0java\x000.0\0", "", 0),
        ],
    },
    Program {
        files: &["nginx"],
        name: "nginx",
        cpe: ("f5", "nginx"),
        words: &[
            words("nginx version: nginx/", "", 1),
            words("nginx version: openresty/", "", 1),
        ],
    },
    Program {
        files: &["httpd", "apache2"],
        name: "httpd",
        cpe: ("apache", "http_server"),
        words: &[words("Apache/", " \0", 2)],
    },
    Program {
        files: &["postgres"],
        name: "postgresql",
        cpe: ("postgresql", "postgresql"),
        words: &[words("\0PostgreSQL ", "", 0)],
    },
    Program {
        files: &["mysqld", "mysql"],
        name: "mysql",
        cpe: ("oracle", "mysql"),
        words: &[words("/mysql-", "", 2)],
    },
    Program {
        files: &["mariadbd", "mariadb"],
        name: "mariadb",
        cpe: ("mariadb", "mariadb"),
        words: &[words("/mariadb-", "", 2)],
    },
    Program {
        files: &["busybox"],
        name: "busybox",
        cpe: ("busybox", "busybox"),
        words: &[words("BusyBox v", "", 1)],
    },
    Program {
        files: &["bash"],
        name: "bash",
        cpe: ("gnu", "bash"),
        words: &[words("@(#)Bash version ", "(", 2)],
    },
    Program {
        files: &["perl", "libperl"],
        name: "perl",
        cpe: ("perl", "perl"),
        words: &[words("/perl5/", "/\0", 2), words("/perl/", "/\0", 2)],
    },
    Program {
        files: &["haproxy"],
        name: "haproxy",
        cpe: ("haproxy", "haproxy"),
        words: &[
            words("HAProxy version ", "", 1),
            words("HA-Proxy version ", "", 1),
        ],
    },
    Program {
        files: &["memcached"],
        name: "memcached",
        cpe: ("memcached", "memcached"),
        words: &[words("memcached ", "\0\n", 2), words("VERSION ", "\r\0", 2)],
    },
    Program {
        files: &["openssl", "libcrypto"],
        name: "openssl",
        cpe: ("openssl", "openssl"),
        words: &[words("OpenSSL ", " ", 2)],
    },
    Program {
        files: &["curl"],
        name: "curl",
        cpe: ("haxx", "curl"),
        words: &[words("curl/", "", 2), words("curl ", " (\0", 2)],
    },
    Program {
        files: &["gcc"],
        name: "gcc",
        cpe: ("gnu", "gcc"),
        words: &[words("GCC: (GNU) ", "", 2)],
    },
    Program {
        files: &["lighttpd"],
        name: "lighttpd",
        cpe: ("lighttpd", "lighttpd"),
        words: &[words("lighttpd/", "", 1)],
    },
];

/// Returns the package that a program is, if it is known and says its version.
pub(crate) fn program(path: &str, bytes: &[u8]) -> Option<PackageInfo> {
    let file = path.rsplit('/').next().unwrap_or(path);
    if is(file, "python") || is(file, "libpython") {
        let version = python(file, bytes)?;
        return Some(package(
            "python",
            version,
            ("python_software_foundation", "python"),
            path,
        ));
    }
    if is(file, "redis-server") || is(file, "redis-cli") {
        return Some(package("redis", redis(bytes)?, ("redislabs", "redis"), path));
    }
    let known = KNOWN
        .iter()
        .find(|program| program.files.iter().any(|name| is(file, name)))?;
    let version = known.words.iter().find_map(|words| words.version(bytes))?;
    Some(package(known.name, version, known.cpe, path))
}

fn package(name: &str, version: &str, cpe: (&str, &str), path: &str) -> PackageInfo {
    let (vendor, product) = cpe;
    Package::new(name, version, &Purl::new("generic", name, version))
        .location(path)
        .attr(
            "cpe",
            &format!("cpe:2.3:a:{vendor}:{product}:{version}:*:*:*:*:*:*:*"),
        )
        .attr("source-info", "words in the program")
        .done()
}

/// Tells whether a file is called `name`, with a version or `.so` behind or without.
fn is(file: &str, name: &str) -> bool {
    let Some(rest) = file.strip_prefix(name) else {
        return false;
    };
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()) || rest.starts_with(".so")
}

/// Python's own version stands alone between zeros; the file's name tells how it starts.
fn python<'a>(file: &str, bytes: &'a [u8]) -> Option<&'a str> {
    let line = leading_version(&file.as_bytes()[file.find(|c: char| c.is_ascii_digit())?..]);
    let before = format!("\0{line}.");
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..)?, before.as_bytes()) {
        let start = from + at + 1;
        let version = leading_version(&bytes[start..]);
        let next = bytes.get(start + version.len());
        if matches!(next, Some(0 | b'+')) && version.matches('.').count() >= 2 {
            return Some(version);
        }
        from = start;
    }
    None
}

/// A build of Redis is called version, machine, `-`, time.
fn redis(bytes: &[u8]) -> Option<&str> {
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..)?, b"\0") {
        let text = &bytes[from..from + at];
        from += at + 1;
        if text.len() > 100 || !text.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let version = leading_version(text);
        let rest = std::str::from_utf8(&text[version.len()..]).unwrap_or_default();
        if let Some((machine, time)) = rest.rsplit_once('-')
            && version.matches('.').count() == 2
            && !machine.is_empty()
            && time.len() >= 10
            && time[..10].bytes().all(|byte| byte.is_ascii_digit())
        {
            return Some(version);
        }
    }
    None
}
