//! The bytes on disk: partition tables, FAT, ext4, boot loaders, and reading an image back.

pub mod assemble;
pub mod bmap;
pub mod boot;
pub mod compress;
pub mod diff;
pub mod embedded;
pub mod ext4;
pub mod fat;
pub mod first_start;
pub mod ids;
pub mod inspect;
pub mod layout;
pub mod manifest;
pub mod read;
pub mod rules;
pub mod scan;
pub mod table;

#[cfg(test)]
mod testimage;
#[cfg(test)]
mod testtree;
