//! The directory hash `half_md4` with signed characters: the kernel's `fs/ext4/hash.c`.
//!
//! Whether characters are signed is a flag of the superblock that `mke2fs` sets as the host's C has it; we set it
//! to "signed" everywhere.

/// Where a name belongs in an indexed directory: first by `major` (always even), then by `minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hash {
    pub major: u32,
    pub minor: u32,
}

/// The last even value stands for the end of a directory and is not a hash.
const END: u32 = 0x7fff_ffff << 1;

/// Hashes a name. A seed of zeros means MD4's own start values.
pub(super) fn half_md4(name: &[u8], seed: [u8; 16]) -> Hash {
    let mut state = if seed == [0; 16] {
        [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]
    } else {
        std::array::from_fn(|word| super::checksum::get32(&seed, word * 4))
    };
    let mut left = name;
    while !left.is_empty() {
        transform(&mut state, &words(left));
        left = left.get(32..).unwrap_or_default();
    }
    let major = state[1] & !1;
    Hash {
        major: if major == END { END - 2 } else { major },
        minor: state[2],
    }
}

/// The next 32 bytes as eight numbers, padded with how many bytes are left in all.
fn words(left: &[u8]) -> [u32; 8] {
    // A name has 255 bytes at most.
    let pad = left.len() as u32 * 0x0101_0101;
    let chunk = &left[..left.len().min(32)];
    let mut words = [pad; 8];
    for (word, bytes) in words.iter_mut().zip(chunk.chunks(4)) {
        for &byte in bytes {
            *word = (*word << 8).wrapping_add_signed(i32::from(byte.cast_signed()));
        }
    }
    words
}

/// One block of MD4, with three rounds of eight steps.
fn transform(state: &mut [u32; 4], input: &[u32; 8]) {
    type Mix = fn(u32, u32, u32) -> u32;
    let rounds: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (
            |x, y, z| z ^ (x & (y ^ z)),
            0,
            [0, 1, 2, 3, 4, 5, 6, 7],
            [3, 7, 11, 19],
        ),
        (
            |x, y, z| (x & y).wrapping_add((x ^ y) & z),
            0x5a82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (
            |x, y, z| x ^ y ^ z,
            0x6ed9_eba1,
            [3, 7, 2, 6, 1, 5, 0, 4],
            [3, 9, 11, 15],
        ),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (mix, constant, order, shifts) in rounds {
        for (step, index) in order.into_iter().enumerate() {
            let sum = a
                .wrapping_add(mix(b, c, d))
                .wrapping_add(input[index])
                .wrapping_add(constant);
            (a, b, c, d) = (d, sum.rotate_left(shifts[step % 4]), b, c);
        }
    }
    for (word, more) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(more);
    }
}
