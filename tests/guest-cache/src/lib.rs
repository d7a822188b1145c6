//! A cache adapter that attacks whoever runs it. `attack=` says how, `url=` where requests go.

use std::cell::RefCell;
use std::collections::BTreeMap;

use kiln_sdk::Error;
use kiln_sdk::cache::BlobRef;
use kiln_sdk::cache::Cache;
use kiln_sdk::cache::GetPlan;
use kiln_sdk::cache::PutPlan;
use kiln_sdk::cache::http;
use kiln_sdk::cache::objects;
use kiln_sdk::types::Attr;

/// The attacker.
#[derive(Debug)]
pub struct Guest;

kiln_sdk::export_cache!(Guest);

thread_local! {
    static CONFIG: RefCell<BTreeMap<String, String>> = RefCell::default();
}

fn config(key: &str) -> String {
    CONFIG.with_borrow(|config| config.get(key).cloned().unwrap_or_default())
}

fn request(method: &str, url: &str) -> http::Request {
    http::Request {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        auth: None,
    }
}

fn header(key: &str, value: &str) -> Attr {
    Attr {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// Sends what `attack` says and tells what the host said to it.
fn fetch(attack: &str) -> Result<(), Error> {
    let mut request = request("GET", &config("url"));
    match attack {
        "fetch-auth" => request.auth = Some("token".to_owned()),
        "fetch-own-auth" => request.headers.push(header("Authorization", "Bearer stolen")),
        "fetch-host" => request.headers.push(header("Host", "elsewhere.example.com")),
        "fetch-smuggle" => request.headers.push(header("X-A", "a\r\nX-B: b")),
        "fetch-method" => request.method = "CONNECT".to_owned(),
        "fetch-flood" => loop {
            drop(http::fetch(&request));
        },
        _ => {}
    }
    let response = http::fetch(&request)?;
    Err(Error::Other(format!("answered with status {}", response.status)))
}

/// Asks the bucket for what it should not give.
fn bucket(attack: &str) -> Result<(), Error> {
    let bucket = objects::open()?;
    let done = match attack {
        "bucket-head" => bucket.head("../other").map(drop),
        "bucket-get" => bucket.get("/etc/passwd", u64::MAX).map(drop),
        "bucket-put" => bucket
            .put("a/../../b", b"x", &objects::Condition::Always)
            .map(drop),
        "bucket-list" => bucket.list(&"x".repeat(5000), None, u32::MAX).map(drop),
        "bucket-delete" => bucket.delete("a//b").map(drop),
        "bucket-touch" => bucket.touch("a\nb").map(drop),
        _ => Ok(()),
    };
    done?;
    Err(Error::Other("the bucket did it".to_owned()))
}

/// Returns a blob that a manifest names, other than `digest`.
fn another(manifest: &[u8], digest: &str) -> String {
    let text = String::from_utf8_lossy(manifest);
    let named = text
        .split("\"blob\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let mut others = named.filter(|name| *name != digest);
    others.next().unwrap_or_default().to_owned()
}

impl Cache for Guest {
    fn open(given: Vec<Attr>) -> Result<(), Error> {
        CONFIG.set(given.into_iter().map(|attr| (attr.key, attr.value)).collect());
        match config("attack").as_str() {
            "open-loop" => loop {
                std::hint::black_box(());
            },
            "open-panic" => panic!("a guest's last words"),
            attack if attack.starts_with("fetch") => fetch(attack),
            attack if attack.starts_with("bucket") => bucket(attack),
            _ => Ok(()),
        }
    }

    fn plan_get(blobs: Vec<BlobRef>) -> Result<Vec<GetPlan>, Error> {
        let url = config("url");
        Ok(match config("attack").as_str() {
            "get-too-many" => vec![GetPlan::Miss; blobs.len() + 1],
            "get-none" => Vec::new(),
            "get-no-bucket" => blobs.iter().map(|_| GetPlan::Object("a".to_owned())).collect(),
            "get-elsewhere" => vec![GetPlan::Http(request("GET", &config("elsewhere"))); blobs.len()],
            // One and the same answer for every blob.
            "get-same" => vec![GetPlan::Http(request("GET", &format!("{url}/same"))); blobs.len()],
            "get-swapped" => {
                let manifest = http::fetch(&request("GET", &format!("{url}/buildkit")))?;
                let other = |blob: &BlobRef| another(&manifest.body, &blob.digest);
                let plan = |blob| GetPlan::Http(request("GET", &format!("{url}/{}", other(blob))));
                blobs.iter().map(plan).collect()
            }
            _ => {
                let at = |blob: &BlobRef| request("GET", &format!("{url}/{}", blob.digest));
                blobs.iter().map(|blob| GetPlan::Http(at(blob))).collect()
            }
        })
    }

    fn plan_put(blobs: Vec<BlobRef>) -> Result<Vec<PutPlan>, Error> {
        let url = config("url");
        let at = |blob: &BlobRef| request("PUT", &format!("{url}/{}", blob.digest));
        let plan = |blob: &BlobRef| match config("attack").as_str() {
            "put-parts" => PutPlan::Multipart((1, vec![at(blob); 3])),
            "put-body" => PutPlan::Http(http::Request {
                body: b"mine".to_vec(),
                ..at(blob)
            }),
            "put-key" => PutPlan::Object("k".repeat(5000)),
            // Says that everything is there, so that nothing is uploaded.
            "put-lie" => PutPlan::Present,
            _ => PutPlan::Http(at(blob)),
        };
        Ok(blobs.iter().map(plan).collect())
    }

    fn get_manifest(name: String) -> Result<Option<Vec<u8>>, Error> {
        match config("attack").as_str() {
            "manifest-nonsense" => Ok(Some(b"{\"layers\":7".to_vec())),
            "manifest-flood" => Ok(Some(vec![b' '; 40 << 20])),
            "manifest-cycle" => Ok(Some(
                br#"{"layers":[],"records":[{"digest":"random:0","inputs":[[{"link":0}]]}]}"#.to_vec(),
            )),
            _ => {
                let found = http::fetch(&request("GET", &format!("{}/{name}", config("url"))))?;
                Ok((found.status == 200).then_some(found.body))
            }
        }
    }

    fn put_manifest(name: String, data: Vec<u8>) -> Result<(), Error> {
        let mut put = request("PUT", &format!("{}/{name}", config("url")));
        put.body = match config("attack").as_str() {
            "manifest-trap" => panic!("a guest's last words"),
            _ => data,
        };
        http::fetch(&put).map(drop)
    }

    fn commit(_: Vec<BlobRef>) -> Result<(), Error> {
        match config("attack").as_str() {
            "commit-refuse" => Err(Error::Denied("not today".to_owned())),
            _ => Ok(()),
        }
    }
}
