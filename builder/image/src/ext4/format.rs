//! Making the empty file system with `mke2fs`, in such a way that nothing of the host gets into it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use clic_host::Cmd;

use super::{BLOCK, MAX_BYTES, Options};

/// What would be `/etc/mke2fs.conf`: the host's must not count, and without one `mke2fs` uses what it was built
/// with. All else is said on the command line.
const CONFIGURATION: &str = "\
[defaults]
    base_features = none
    default_mntopts = acl,user_xattr
    hash_alg = half_md4
    errors = continue
[fs_types]
    ext4 = {
        features = extent,has_journal
    }
    default = {
        blocksize = 4096
    }
";

/// The features of Debian bookworm's own ext4. GRUB 2.06 cannot read `metadata_csum_seed` (GRUB takes the file
/// system for an unknown one), and Linux before 5.15 not `orphan_file`; `64bit` lets the kernel go on growing it.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// The size up to which descriptors of new groups have room, in blocks (2 TiB): the largest SD cards, and most
/// disks of old computers. It costs 1 MiB per backup of the superblock.
const GROWS_TO: u64 = (2 << 40) / BLOCK;

/// Percent of the blocks that only root may fill, which the kernel keeps to when it grows the file system: on a
/// full card, the log, a login and a package upgrade still work.
const RESERVED: &str = "1";

/// Makes an empty file system. `file` reads as zeros at `offset`, as a new sparse file does: inode tables and journal
/// are left as they are there (the kernel clears the rest of the tables by itself on the first boot).
pub(super) fn format(options: &Options, file: &File, offset: u64) -> Result<()> {
    ensure!(
        options.bytes.is_multiple_of(BLOCK),
        "a file system of {} bytes: not whole blocks",
        options.bytes
    );
    ensure!(
        options.bytes <= MAX_BYTES,
        "a file system of {} bytes: at most {MAX_BYTES} are made",
        options.bytes
    );
    ensure!(
        options.label.len() <= 16,
        "the label `{}` is longer than ext4's 16 bytes",
        options.label
    );
    let mut configuration = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    configuration.write_all(CONFIGURATION.as_bytes())?;
    let extended = format!(
        "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0,hash_seed={},resize={GROWS_TO},offset={offset}",
        options.hash_seed
    );
    let command = Cmd::new("mke2fs")
        .clean_env()
        .env("MKE2FS_CONFIG", configuration.path())
        // Zero would mean the time of day.
        .env("E2FSPROGS_FAKE_TIME", options.epoch.max(1).to_string())
        .args([
            "-q", "-F", "-t", "ext4", "-T", "default", "-O", FEATURES, "-b", "4096", "-g", "32768", "-G",
            "16", "-I", "256",
        ])
        .args(["-e", "continue", "-o", "Linux", "-r", "1", "-m", RESERVED])
        .args(["-J", &format!("size={}", journal_mib(options.bytes))])
        .args(["-N", &options.inodes.to_string()])
        .args([
            "-L",
            &options.label,
            "-U",
            &options.uuid.to_string(),
            "-E",
            &extended,
        ])
        // The very file that we have open, whatever its name is by now.
        .arg(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
        .arg((options.bytes / BLOCK).to_string());
    command
        .output()
        .context("cannot make an empty ext4 file system")?;
    Ok(())
}

/// A journal does not grow with its file system, and most will grow to the size of a card: 32 MiB, where `mke2fs`
/// would take 16 to 64. Small images get less.
fn journal_mib(bytes: u64) -> u64 {
    match bytes >> 20 {
        ..128 => 4,
        128..512 => 16,
        _ => 32,
    }
}
