//! Partition tables, written last: a disk without one never looks bootable.

use std::fs::File;

use anyhow::Result;
use clic_recipe::plan::{Arch, Table};

use crate::ids::Ids;
use crate::layout::Layout;

mod gpt;
mod mbr;

pub use gpt::type_guid;
pub use mbr::type_code;

/// Bytes of boot code at the front of sector 0, before the disk signature.
pub const BOOT_CODE: usize = 440;

/// Writes the layout's table to `image`, whose length is the layout's. `boot_code` goes to the first bytes of sector 0.
pub fn write(
    layout: &Layout,
    ids: &Ids,
    arch: Arch,
    boot_code: &[u8; BOOT_CODE],
    image: &File,
) -> Result<()> {
    match layout.table {
        Table::Gpt => gpt::write(layout, ids, arch, boot_code, image),
        Table::Mbr => mbr::write(layout, ids, boot_code, image),
    }
}

#[cfg(test)]
mod tests;
