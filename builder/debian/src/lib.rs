//! Debian's own formats, read with suspicion: control files, packages, dpkg's record, versions, dates, addresses.

pub mod arch;
pub mod control;
pub mod date;
pub mod deb;
pub mod debconf;
#[cfg(test)]
mod spoiled;
pub mod status;
#[cfg(any(test, feature = "testdeb"))]
pub mod testdeb;
pub mod uri;
pub mod version;
