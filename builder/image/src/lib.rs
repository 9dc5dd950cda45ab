//! The bytes on disk: partition tables, FAT, ext4, boot loaders, and reading an image back.

pub mod assemble;
pub mod boot;
pub mod embedded;
pub mod ext4;
pub mod fat;
pub mod ids;
pub mod layout;
pub mod read;
pub mod rules;
pub mod table;
pub mod tree;

#[cfg(test)]
mod testimage;
