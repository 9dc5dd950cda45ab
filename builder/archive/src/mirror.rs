//! Where Debian comes from. No mirror is in the code: it is named on the command line, in the environment, or in
//! the build host's own apt sources.

mod host;
mod kind;

use anyhow::Result;
use clic_debian::uri::without_login;
use clic_host::UserError;
use serde::Serialize;

use crate::host::HostApt;
use host::Sources;
pub use kind::Ask;
use kind::followed;

/// The environment's mirror: the main archive's address, then (if given) the security archive's.
pub const MIRROR_VARIABLE: &str = "CLIC_DEBIAN_MIRROR";

/// The word that stands for "no security archive".
const NONE: &str = "none";

/// Addresses of Debian's archives, without a slash at their ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mirrors {
    /// The main archive: the directory that holds `dists/` and `pool/`.
    pub main: String,
    /// The security archive, if one is known.
    pub security: Option<String>,
}

impl Mirrors {
    /// Finds the mirrors. Each of the two is taken from the first place that names it: the options, then
    /// [`MIRROR_VARIABLE`], then the build host's apt sources. A security mirror `none` means to use none. `ask` is for lists of mirrors,
    /// and for a source of the host's of which nothing says that it is Debian's.
    pub fn find(main: Option<&str>, security: Option<&str>, host: &HostApt, ask: &Ask<'_>) -> Result<Self> {
        let variable = std::env::var(MIRROR_VARIABLE).unwrap_or_default();
        let needs_host = main.is_none() || security.is_none();
        let mut sources = Sources::default();
        if needs_host {
            sources.read(host);
        }
        Self::choose(main, security, &variable, sources, host, ask)
    }

    fn choose(
        main: Option<&str>,
        security: Option<&str>,
        variable: &str,
        mut sources: Sources,
        host: &HostApt,
        ask: &Ask<'_>,
    ) -> Result<Self> {
        let mut words = variable.split_whitespace();
        let named = [(main, "--mirror"), (words.next(), MIRROR_VARIABLE)];
        let named_security = [(security, "--security-mirror"), (words.next(), MIRROR_VARIABLE)];
        if let Some(extra) = words.next() {
            return Err(UserError::new(format!(
                "{MIRROR_VARIABLE} names more than two addresses: {}",
                without_login(extra)
            ))
            .help("it is the main archive's address, then (if you want) the security archive's")
            .into());
        }
        let mut pick = |named: [(Option<&str>, &str); 2], of_security: bool| -> Result<Option<String>> {
            match named.into_iter().find_map(|(url, from)| Some((url?, from))) {
                Some((NONE, _)) => Ok(Some(NONE.to_owned())),
                Some((url, from)) => match followed(url, host, ask) {
                    Ok(url) => Ok(Some(url)),
                    Err((why, help)) => {
                        Err(UserError::new(format!("{from}: {:?} {why}", without_login(url)))
                            .help(help)
                            .into())
                    }
                },
                None => Ok(sources.best(of_security, host, ask)),
            }
        };
        let security = pick(named_security, true)?.filter(|url| url != NONE);
        let Some(main) = pick(named, false)? else {
            return Err(sources.none().into());
        };
        if main == NONE {
            return Err(
                UserError::new("--mirror needs an address; only --security-mirror can be none").into(),
            );
        }
        Ok(Self { main, security })
    }
}

#[cfg(test)]
mod tests;
