//! Pieces that whole file systems do not reach, or that have a known answer.

use super::*;
use crate::ext4::alloc::{Blocks, Run};
use crate::ext4::dirs::{self, Directory, Entry};
use crate::ext4::hash::half_md4;
use crate::ext4::inode::Inode;

#[test]
fn hashes_are_those_of_e2fsprogs() {
    let seed = Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888);
    let long = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(7);
    let names = [
        "a",
        "abc",
        "abcd",
        &long[..31],
        &long[..32],
        &long[..33],
        &long[..64],
        &long,
        "Főtanúsítvány",
    ];
    for seed in [seed, Uuid::nil()] {
        for name in names {
            let hash = half_md4(name.as_bytes(), *seed.as_bytes());
            let request = format!("dx_hash -h half_md4 -s {seed} {name}");
            let said = Cmd::new("debugfs")
                .clean_env()
                .args(["-R", &request])
                .output()
                .unwrap();
            let expected = format!("Hash of {name} is {:#x} (minor {:#x})", hash.major, hash.minor);
            assert_eq!(String::from_utf8_lossy(&said).trim(), expected);
        }
    }
}

#[test]
fn blocks_are_taken_in_one_direction() {
    let mut blocks = Blocks::new(200);
    for block in [0, 1, 5, 64, 130, 130, 199, 200] {
        blocks.mark(block);
    }
    assert_eq!(blocks.free(), 194);
    blocks.release(1);
    assert_eq!(blocks.take(2), Some(Run { start: 1, len: 2 }));
    assert_eq!(blocks.take(9), Some(Run { start: 3, len: 2 }));
    assert_eq!(blocks.take(1000), Some(Run { start: 6, len: 58 }));
    assert_eq!(blocks.take(1000), Some(Run { start: 65, len: 65 }));
    assert_eq!(blocks.take(1000), Some(Run { start: 131, len: 68 }));
    assert_eq!((blocks.take(1), blocks.free()), (None, 0));
    assert_eq!(&blocks.bitmap(Run { start: 0, len: 200 })[..26], &[0xff; 26]);
    assert_eq!(
        &Blocks::new(12).bitmap(Run { start: 0, len: 12 })[..3],
        &[0, 0xf0, 0xff]
    );
}

#[test]
fn an_index_can_have_two_levels() {
    // Over 507 blocks of entries: nodes come between the root and them.
    let names: Vec<String> = (0..7000).map(|index| format!("{index:0250}")).collect();
    let entries: Vec<Entry> = names
        .iter()
        .zip(20..)
        .map(|(name, inode)| Entry {
            name: name.as_bytes(),
            inode,
            kind: 1,
        })
        .collect();
    let directory = Directory {
        inode: 12,
        parent: 2,
        seed: 1,
        hash_seed: [3; 16],
    };
    let blocks = dirs::blocks(&directory, &entries);
    assert_eq!(blocks.len() as u64, dirs::count(&entries).unwrap());
    assert_eq!((blocks[0][30], blocks[0][34]), (1, 2));
    let mut tree = rooted();
    for name in &names {
        file(&mut tree, format!("/two/{name}"), *b"", 0o644, 1);
    }
    let (image, _) = made(&tree);
    same(&tree, image.path());
    assert!(debugfs(image.path(), "htree /two").contains("Indirect levels: 1"));
}

#[test]
fn names_with_one_hash_may_go_over_a_block() {
    // All of one hash cannot be had without trying billions; the count must not depend on hashes at all.
    let names: Vec<String> = (0..300).map(|index| format!("name {index}")).collect();
    let entries: Vec<Entry> = names
        .iter()
        .map(|name| Entry {
            name: name.as_bytes(),
            inode: 20,
            kind: 1,
        })
        .collect();
    for seed in 0..50 {
        let directory = Directory {
            inode: 12,
            parent: 2,
            seed: 1,
            hash_seed: [seed; 16],
        };
        assert_eq!(
            dirs::blocks(&directory, &entries).len() as u64,
            dirs::count(&entries).unwrap()
        );
    }
}

#[test]
fn times_have_the_kernels_form() {
    let inode = |time| {
        let inode = Inode {
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            size: 0,
            time,
            links: 1,
            blocks: 0,
            flags: 0,
            data: [0; 60],
            xattr_block: 0,
            xattrs: &[],
        };
        let bytes = inode.encode(12, 0);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        (word(0x10), word(0x88))
    };
    // Documentation/filesystems/ext4: extra bits 0 to 3 add 2^32 seconds each to the signed 32 bits.
    assert_eq!(inode(-1), (0xffff_ffff, 0));
    assert_eq!(inode(0x7fff_ffff), (0x7fff_ffff, 0));
    assert_eq!(inode(0x8000_0000), (0x8000_0000, 1));
    assert_eq!(inode(0x1_8000_0000), (0x8000_0000, 2));
    assert_eq!(inode(i64::MAX), (0x7fff_ffff, 3));
    assert_eq!(inode(i64::MIN), (0x8000_0000, 0));
}
