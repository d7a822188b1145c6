//! What an index says of an image's platform, on BuildKit's table.

use std::path::Path;

use kiln_export::Format;
use kiln_export::ImageParts;
use kiln_image::Platform;
use serde_json::Value;
use serde_json::json;

fn platform(value: &Value) -> Platform {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let mut platform = Platform::new(
        &text("OS").unwrap_or_default(),
        &text("Architecture").unwrap_or_default(),
        text("Variant").as_deref(),
    );
    platform.os_version = text("OSVersion");
    platform
}

#[test]
fn platforms_are_buildkits() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = std::env::var_os("KILN_SHARED").map_or_else(|| here.join("../../../shared"), Into::into);
    let path = root.join("conformance/dockerfile2llb/convert_tables.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("`{}`: {e}", path.display()));
    let tables: Value = serde_json::from_str(&text).expect("JSON");
    let rows = tables["normalize_export_platform"].as_array().expect("rows");
    assert!(!rows.is_empty());
    for row in rows {
        let image = &row["imgP"];
        let mut config = json!({"os": image["OS"], "architecture": image["Architecture"]});
        for (key, name) in [("Variant", "variant"), ("OSVersion", "os.version")] {
            if image[key].is_string() {
                config[name] = image[key].clone();
            }
        }
        let parts = ImageParts {
            config: config.to_string().into_bytes(),
            base_config: Vec::new(),
            layers: Vec::new(),
            platform: platform(&row["p"]),
            epoch: Some(0),
        };
        let image = kiln_export::assemble(&parts, &Format::default()).expect("an image");
        let got = image.descriptor.platform.expect("a platform");
        assert_eq!(got, platform(&row["expected"]["Platform"]), "{row}");
        assert_eq!(
            parts.platform.normalised().to_string(),
            row["expected"]["ID"].as_str().unwrap_or_default(),
            "{row}"
        );
    }
}
