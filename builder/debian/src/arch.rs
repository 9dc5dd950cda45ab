//! Architectures of images and of the machines that build them.

pub use clic_recipe::plan::Arch;

/// Architectures of build hosts that there are tools for.
pub const HOSTS: [Arch; 2] = [Arch::Amd64, Arch::Arm64];

/// This machine's architecture, if it is one of [`HOSTS`].
pub fn host_arch() -> Option<Arch> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Arch::Amd64),
        "aarch64" => Some(Arch::Arm64),
        _ => None,
    }
}
