//! Image configs.

use serde_json::Map;
use serde_json::Value;

use crate::Digest;
use crate::Platform;

/// An image's config. Fields that kiln does not know are kept: the document is held as JSON, keys in order, and
/// written the way Go's encoder writes a map (sorted, no spaces), as BuildKit's exporter does.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageConfig(Map<String, Value>);

/// Largest config that is read, in bytes.
const MAX_CONFIG: usize = 8 << 20;

impl ImageConfig {
    /// Parses a config and checks the fields that kiln relies on.
    ///
    /// # Errors
    /// When the document is too large, not an object, or has diff IDs that are not digests.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > MAX_CONFIG {
            return Err(ConfigError::TooLarge(bytes.len()));
        }
        let config = Self(serde_json::from_slice(bytes).map_err(ConfigError::Json)?);
        config.checked_diff_ids()?;
        Ok(config)
    }

    fn checked_diff_ids(&self) -> Result<Vec<Digest>, ConfigError> {
        let Some(ids) = self.0.get("rootfs").and_then(|r| r.get("diff_ids")) else {
            return Ok(Vec::new());
        };
        serde_json::from_value(ids.clone()).map_err(ConfigError::Json)
    }

    /// Returns the digests of the uncompressed layers, base first.
    pub fn diff_ids(&self) -> Vec<Digest> {
        self.checked_diff_ids().unwrap_or_default()
    }

    /// Returns the platform; missing fields are those of `linux/amd64`'s host defaults.
    pub fn platform(&self) -> Platform {
        let text = |key: &str| self.0.get(key).and_then(Value::as_str).filter(|s| !s.is_empty());
        let host = Platform::host();
        let os = text("os").unwrap_or(&host.os);
        let mut platform = Platform::new(
            os,
            text("architecture").unwrap_or(&host.architecture),
            text("variant"),
        );
        platform.os_version = text("os.version").map(str::to_owned);
        platform
    }

    /// Returns the document.
    pub fn json(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns the document for changes.
    pub fn json_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    /// Returns the bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }
}

impl From<Map<String, Value>> for ImageConfig {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// A config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Over the size that is read.
    #[error("image config has {0} bytes (at most {MAX_CONFIG} are read)")]
    TooLarge(usize),
    /// Not the JSON it should be.
    #[error("image config is malformed")]
    Json(#[source] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive() {
        let text = br#"{"architecture":"amd64","os":"linux","zzz":{"b":1,"a":2}}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!(config.platform().to_string(), "linux/amd64");
        assert_eq!(
            config.to_bytes(),
            br#"{"architecture":"amd64","os":"linux","zzz":{"a":2,"b":1}}"#
        );
    }
}
