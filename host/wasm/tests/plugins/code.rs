//! Machine code on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use kiln_wasm::Runtime;
use kiln_wasm::RuntimeConfig;
use kiln_wasm::RuntimeError;

use crate::guest::Guest;

fn open(dir: PathBuf) -> Result<Runtime, RuntimeError> {
    Runtime::open(RuntimeConfig {
        cache_dir: Some(dir),
        ..RuntimeConfig::default()
    })
}

#[tokio::test]
async fn code_is_kept_and_used_and_made_again_when_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let code = dir.path().join("code");
    let component = Guest::default().component();
    let describe = async || {
        let runtime = open(code.clone()).unwrap();
        let frontend = runtime.frontend("kept", &component, None).unwrap();
        frontend.describe().await.unwrap();
    };
    describe().await;
    let file = || fs::read_dir(&code).unwrap().next().unwrap().unwrap().path();
    let made = fs::metadata(file()).unwrap().modified().unwrap();
    describe().await;
    assert_eq!(
        fs::metadata(file()).unwrap().modified().unwrap(),
        made,
        "it was used"
    );

    let whole = fs::read(file()).unwrap();
    for damaged in [&whole[..whole.len() / 2], &[whole.as_slice(), b"x"].concat(), b""] {
        fs::write(file(), damaged).unwrap();
        describe().await;
        assert_eq!(fs::read(file()).unwrap().len(), whole.len(), "it was made again");
    }
    assert_eq!(fs::metadata(&code).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = open(dir.path().to_owned()).unwrap_err().to_string();
    assert!(error.contains("mode 0700, found a directory"), "{error}");
}

#[tokio::test]
async fn embedded_code_is_used_if_it_fits() {
    let component = Guest::default().component();
    let runtime = Runtime::open(RuntimeConfig::default()).unwrap();
    let code: &'static [u8] = runtime.precompile("embedded", &component).unwrap().leak();
    for code in [code, b"not machine code"] {
        let frontend = runtime.frontend("embedded", &component, Some(code)).unwrap();
        frontend.describe().await.unwrap();
    }
}
