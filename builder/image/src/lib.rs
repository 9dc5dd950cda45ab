//! The bytes on disk: partition tables, FAT, ext4, boot loaders, and reading an image back.

pub mod embedded;
pub mod tree;
