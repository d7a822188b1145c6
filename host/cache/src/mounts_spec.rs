//! `mounts` and `mounts-max-size`: whether contents of cache mounts travel, and where they are kept.

use kiln_image::Reference;

use crate::spec::Attrs;
use crate::spec::Location;
use crate::spec::SpecError;

/// What the cache of cache mounts is called, behind the cache's own name.
const SUFFIX: &str = "-cache-mounts";

/// Contents of cache mounts travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountsTo {
    /// Most bytes of all that one cache has, as archives without compression.
    pub max_size: u64,
}

impl Default for MountsTo {
    fn default() -> Self {
        Self { max_size: 2 << 30 }
    }
}

/// The parameters.
pub(crate) const MOUNTS: &[&str] = &["mounts", "mounts-max-size"];

/// Reads the parameters; `unless_said` is what it means when they are not there.
pub(crate) fn mounts(attrs: &mut Attrs, unless_said: bool) -> Result<Option<MountsTo>, SpecError> {
    let wanted = attrs.flag("mounts")?.unwrap_or(unless_said);
    let expected = match wanted {
        true => "bytes such as 500m or 2GiB",
        false => "nothing without `mounts=true`",
    };
    let size = attrs.value("mounts-max-size", expected, |text| size(text).filter(|_| wanted))?;
    let with = |max_size| MountsTo { max_size };
    Ok(wanted.then(|| size.map_or_else(MountsTo::default, with)))
}

/// Reads a number of bytes; units are powers of 1024, whatever they are called.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit
        .strip_suffix("ib")
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(unit);
    let power = ["", "k", "m", "g", "t"].iter().position(|known| *known == unit)?;
    let number: u64 = number.parse().ok()?;
    number.checked_mul(1 << (10 * power))
}

impl Location {
    /// Returns where the cache mounts of this cache are; none where there can be none.
    pub fn of_mounts(&self) -> Option<Self> {
        match self {
            Self::Local {
                path,
                tag,
                digest: None,
                reset,
            } => Some(Self::Local {
                path: path.clone(),
                tag: format!("{tag}{SUFFIX}"),
                digest: None,
                reset: *reset,
            }),
            Self::Registry { reference, insecure } => Some(Self::Registry {
                reference: Box::new(beside(reference)?),
                insecure: *insecure,
            }),
            Self::Objects(objects) => {
                let mut beside = objects.clone();
                beside.names.iter_mut().for_each(|name| name.push_str(SUFFIX));
                Some(Self::Objects(beside))
            }
            Self::Adapter(adapter) => {
                let mut beside = adapter.clone();
                beside.names.iter_mut().for_each(|name| name.push_str(SUFFIX));
                Some(Self::Adapter(beside))
            }
            Self::Local { .. } | Self::Inline => None,
        }
    }
}

fn beside(reference: &Reference) -> Option<Reference> {
    if reference.digest().is_some() {
        return None;
    }
    let tag = reference.tag().unwrap_or("latest");
    reference.with_tag(&format!("{tag}{SUFFIX}")).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::spec::CacheFrom;
    use crate::spec::CacheTo;

    fn fields(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn bounds_are_read() {
        let cases = [
            ("1", Some(1)),
            ("10k", Some(10 << 10)),
            ("500MB", Some(500 << 20)),
            ("2GiB", Some(2 << 30)),
            ("1x", None),
            ("", None),
            ("-1", None),
            ("99999999999999t", None),
        ];
        for (text, expect) in cases {
            assert_eq!(size(text), expect, "{text}");
        }
    }

    #[test]
    fn exports_are_asked_for_and_imports_are_not() {
        let to = |text: &str| CacheTo::parse(&fields(text), &BTreeMap::new(), &|_| false).map(|to| to.mounts);
        let from = |text: &str| {
            CacheFrom::parse(&fields(text), &BTreeMap::new(), &|_| false).map(|from| from.mounts)
        };
        let bound = Some(MountsTo { max_size: 1 << 20 });
        assert_eq!(to("type=local,dest=/c"), Ok(None));
        assert_eq!(
            to("type=local,dest=/c,mounts=true"),
            Ok(Some(MountsTo::default()))
        );
        assert_eq!(to("type=registry,ref=a/b,mounts=1,mounts-max-size=1m"), Ok(bound));
        assert_eq!(from("type=local,src=/c"), Ok(Some(MountsTo::default())));
        assert_eq!(from("type=local,src=/c,mounts-max-size=1m"), Ok(bound));
        assert_eq!(from("type=local,src=/c,mounts=false"), Ok(None));
        let refused = [
            (
                "type=local,dest=/c,mount=true",
                "cache type `local` has no parameter `mount` (did you mean `mounts`?)",
            ),
            (
                "type=local,dest=/c,mounts-max-size=1m",
                "`1m` is not a value of `mounts-max-size` (expected nothing without `mounts=true`)",
            ),
            (
                "type=local,dest=/c,mounts=true,mounts-max-size=much",
                "`much` is not a value of `mounts-max-size` (expected bytes such as 500m or 2GiB)",
            ),
            (
                "type=inline,mounts=true",
                "cache type `inline` has no parameter `mounts`",
            ),
            (
                "type=registry,ref=a/b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855,mounts=true",
                "`true` is not a value of `mounts` (expected false: there is no name beside that of the cache)",
            ),
        ];
        for (text, expect) in refused {
            assert_eq!(to(text).expect_err(text).to_string(), expect, "{text}");
        }
    }

    #[test]
    fn they_are_beside_the_cache() {
        let from = |text: &str| {
            let from = CacheFrom::parse(&fields(text), &BTreeMap::new(), &|_| false).expect(text);
            from.location.of_mounts()
        };
        let Some(Location::Local { tag, .. }) = from("type=local,src=/c,tag=main") else {
            panic!("a directory")
        };
        assert_eq!(tag, "main-cache-mounts");
        let Some(Location::Registry { reference, .. }) = from("example.com/a/b") else {
            panic!("a registry")
        };
        assert_eq!(reference.to_string(), "example.com/a/b:latest-cache-mounts");
        let Some(Location::Objects(objects)) = from("type=s3,bucket=b,region=r,name=x;y") else {
            panic!("a bucket")
        };
        assert_eq!(objects.names, ["x-cache-mounts", "y-cache-mounts"]);
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(from(&format!("example.com/a/b@{digest}")), None);
        assert_eq!(from(&format!("type=local,src=/c,digest={digest}")), None);
        let long = format!("example.com/a/b:{}", "x".repeat(120));
        assert_eq!(from(&long), None);
    }
}
