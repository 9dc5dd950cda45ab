//! What a resolution is asked for besides the plan: keys, the time, versions to keep.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clic_host::UserError;
use clic_recipe::plan::Arch;

use crate::host::HostApt;
use crate::key::Pins;
use crate::lock::Lock;
use crate::resolution::Package;

/// How to resolve.
#[derive(Clone, Debug, Default)]
pub struct ResolveOptions {
    /// Keys that sign the archives, instead of Debian's.
    pub keyring: Option<PathBuf>,
    /// What the build host's apt is told of ways to archives.
    pub host: HostApt,
    /// The time that files are clamped to, in seconds since 1970, instead of the archive's own date
    /// (`SOURCE_DATE_EPOCH`).
    pub epoch: Option<u64>,
    /// Why there is something to resolve, if not because the mirror decides.
    pub why: Option<String>,
    /// What stays as it is, if that is still possible.
    pub keep: Keep,
    /// Repositories' keys that people have confirmed.
    pub pins: Pins,
}

/// Packages that keep their versions.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// The image's: name and version.
    pub(crate) packages: BTreeMap<String, String>,
    /// The tools', by the build host's architecture.
    pub(crate) tools: BTreeMap<Arch, BTreeMap<String, String>>,
    /// Those of what content is taken out of.
    pub(crate) content: BTreeMap<String, String>,
}

impl Keep {
    /// All that the lock has, except for the packages named.
    pub fn of(lock: &Lock, except: &[String]) -> Self {
        let versions = |packages: &[Package]| {
            packages
                .iter()
                .filter(|package| !except.contains(&package.name))
                .map(|package| (package.name.clone(), package.version.clone()))
                .collect()
        };
        Self {
            packages: versions(&lock.packages),
            content: versions(&lock.content),
            tools: lock
                .tools
                .iter()
                .map(|(host, tools)| (*host, versions(tools)))
                .collect(),
        }
    }
}

impl ResolveOptions {
    /// With `SOURCE_DATE_EPOCH`, if that is set, and with what the host's apt is told.
    pub fn from_env() -> Result<Self> {
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) if !text.is_empty() => Some(text.parse().map_err(|_| {
                UserError::new(format!(
                    "SOURCE_DATE_EPOCH is {text:?}, which is not a number of seconds since 1970"
                ))
            })?),
            _ => None,
        };
        Ok(Self {
            epoch,
            host: HostApt::ask(),
            ..Self::default()
        })
    }
}
