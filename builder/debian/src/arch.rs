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

/// An architecture as file names and kernels know it.
#[derive(Debug)]
pub struct Names {
    /// Debian's directory for libraries: `/usr/lib/<triplet>`.
    pub triplet: &'static str,
    /// The loader in it.
    pub loader: &'static str,
}

/// How file names and kernels call an architecture.
pub const fn names(arch: Arch) -> Names {
    match arch {
        Arch::Amd64 => Names {
            triplet: "x86_64-linux-gnu",
            loader: "ld-linux-x86-64.so.2",
        },
        Arch::Arm64 => Names {
            triplet: "aarch64-linux-gnu",
            loader: "ld-linux-aarch64.so.1",
        },
    }
}
