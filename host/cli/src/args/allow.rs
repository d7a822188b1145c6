//! `--allow`.

use std::collections::BTreeSet;

use kiln_engine::Entitlement;
use kiln_exec::DeviceGrants;

use super::ArgError;

/// Reads what steps may do: `network.host`, `security.insecure`, `device`, `device=NAME[,alias=NAME]`. Several may be
/// in one value, with commas, as long as none of them has a comma of its own.
pub(super) fn parse(given: &[String]) -> Result<(BTreeSet<Entitlement>, DeviceGrants), ArgError> {
    let mut entitlements = BTreeSet::new();
    let mut devices = DeviceGrants::default();
    for text in given {
        if let Some(device) = text.strip_prefix("device=") {
            named(device, &mut devices)?;
            continue;
        }
        for name in text.split(',') {
            match (name, Entitlement::from_name(name)) {
                ("device", _) => devices.all = true,
                (_, Some(entitlement)) => drop(entitlements.insert(entitlement)),
                (_, None) => {
                    let expected = "network.host, security.insecure or device[=NAME[,alias=NAME]]";
                    let error = ArgError::value("--allow", name, expected);
                    return Err(error.because(format!("unknown entitlement {name}")));
                }
            }
        }
    }
    Ok((entitlements, devices))
}

fn named(text: &str, devices: &mut DeviceGrants) -> Result<(), ArgError> {
    let invalid = |reason: String| {
        ArgError::new(format!("invalid value `device={text}` for `--allow`")).because(reason)
    };
    let mut fields = text.split(',');
    let name = fields.next().filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| invalid("the device has no name (expected `vendor.com/class=name`)".to_owned()))?;
    let mut alias = name;
    for field in fields {
        match field.split_once('=') {
            Some(("alias", value)) => alias = value,
            Some((key, _)) => return Err(invalid(format!("unknown device config key \"{key}\""))),
            None => return Err(invalid(format!("invalid device config \"{field}\""))),
        }
    }
    devices.named.insert(alias.to_owned(), name.to_owned());
    Ok(())
}
