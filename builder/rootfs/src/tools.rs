//! Programs of the build host's architecture that stand in for slow emulated ones while a foreign tree is configured.
//!
//! They never shape a result, only how long it takes: they are in the lock, so that a build has them offline, but not
//! in an image's identity or manifest.

use clic_recipe::plan::Arch;

/// Packages that bring them. A name that a suite does not have is passed over: each has another Python.
pub const TOOLS: &[&str] = &[
    "bash",
    "coreutils",
    "cpio",
    "dash",
    "debconf",
    "diffutils",
    "dpkg",
    "findutils",
    "gawk",
    "grep",
    "gzip",
    "kmod",
    "mawk",
    "perl",
    "python3.11-minimal",
    "python3.13-minimal",
    "sed",
    "systemd",
    "tar",
    "util-linux",
    "xz-utils",
    "zstd",
];

/// Architectures of build hosts that there are tools for.
pub const HOSTS: [Arch; 2] = [Arch::Amd64, Arch::Arm64];

/// This machine's architecture, if it is one that there are tools for.
pub fn host_arch() -> Option<Arch> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Arch::Amd64),
        "aarch64" => Some(Arch::Arm64),
        _ => None,
    }
}
