//! The options that say where packages come from, shared by the commands that ask for them.

use anyhow::Result;
use clic_archive::Mirrors;
use clic_store::Store;

use crate::context::Context;

#[derive(Debug, clap::Args)]
pub struct MirrorArgs {
    /// Debian mirror: the directory that holds dists/ and pool/
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// Mirror of Debian's security updates, or `none` [default: found like the mirror]
    #[arg(long, value_name = "URL")]
    pub security_mirror: Option<String>,
    /// Use no network: everything must be in the store already
    #[arg(long)]
    pub offline: bool,
}

impl MirrorArgs {
    /// The mirrors that were named, here, in the environment or in the host's apt sources.
    pub fn find(&self) -> Result<Mirrors> {
        Mirrors::find(self.mirror.as_deref(), self.security_mirror.as_deref())
    }

    /// The store, with the host's ways to mirrors, or none with `--offline`.
    pub fn store(&self) -> Result<Store> {
        Ok(clic_archive::with_host_proxies(Context::store()?).offline(self.offline))
    }
}
