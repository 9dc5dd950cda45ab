//! clic-rootfs
