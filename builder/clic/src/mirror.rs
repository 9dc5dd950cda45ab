//! The options that say where packages come from, shared by the commands that ask for them.

use anyhow::Result;
use clic_archive::mirror::Ask;
use clic_archive::{HostApt, Mirrors};
use clic_host::{Progress, Sha256};
use clic_store::{Store, without_login};

use crate::context::Context;

#[derive(Debug, Default, clap::Args)]
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
        self.find_by(&|url| ask(&self.store()?, url))
    }

    /// Like [`MirrorArgs::find`], by what is in the store.
    pub fn find_in_store(&self) -> Result<Mirrors> {
        self.find_by(&|url| ask(&self.store()?.offline(true), url))
    }

    fn find_by(&self, ask: &Ask<'_>) -> Result<Mirrors> {
        Mirrors::find(
            self.mirror.as_deref(),
            self.security_mirror.as_deref(),
            &HostApt::ask(),
            ask,
        )
    }

    /// The store, with the ways of the host's apt, or none with `--offline`.
    pub fn store(&self) -> Result<Store> {
        Ok(HostApt::ask()
            .carries_for(Context::store()?)
            .offline(self.offline))
    }
}

/// What small file is at this address, or was when it was last asked for.
fn ask(store: &Store, url: &str) -> Result<String> {
    const MOST: u64 = 1 << 20;
    let room = store.room("mirrors")?;
    let kept = room.join(Sha256::of(without_login(url)).to_string());
    if store.is_offline() {
        let missing = || clic_store::FetchError::Offline {
            missing: vec![url.to_owned()],
        };
        return std::fs::read_to_string(kept).map_err(|_| missing().into());
    }
    let stage = Progress::silent().stage("mirror", "Find the mirror", "");
    let bytes = store.read(url, "what a mirror says of itself", MOST, &stage)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    clic_store::write_whole(&kept, text.as_bytes())?;
    Ok(text)
}
