//! Just enough of ELF to tell for which machine a program is.

use clic_recipe::plan::Arch;

/// The machine of a 64-bit little-endian ELF file, from its first 20 bytes; `None` for anything else.
pub(super) fn machine(head: &[u8]) -> Option<u16> {
    // Magic, ELFCLASS64, ELFDATA2LSB; e_machine at 18 (ELF-64 object file format).
    head.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1])
        .then(|| head.get(18..20)?.try_into().ok().map(u16::from_le_bytes))
        .flatten()
}

/// `e_machine` of an architecture: `EM_X86_64`, `EM_AARCH64`.
pub(super) fn of(arch: Arch) -> u16 {
    match arch {
        Arch::Amd64 => 62,
        Arch::Arm64 => 183,
    }
}
