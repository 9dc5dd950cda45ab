//! The image as a whole: its bytes, its place in a file, its growth.

use super::*;

#[test]
fn the_bytes_do_not_depend_on_the_host() {
    let out = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    for (name, setting) in [
        ("one", "umask 022; export TZ=UTC LC_ALL=C; cd /"),
        (
            "two",
            "umask 077; export TZ=Pacific/Kiritimati LC_ALL=fr_FR.UTF-8 MKE2FS_CONFIG=/x E2FSPROGS_FAKE_TIME=9; cd /tmp",
        ),
    ] {
        Cmd::new("sh")
            .args([
                "-c",
                &format!("{setting}; exec \"$0\" --exact ext4::tests::image::writes_one_image --ignored"),
            ])
            .arg(&program)
            .env("CLIC_TEST_IMAGE", out.path().join(name))
            .output()
            .unwrap();
        // Nothing may take the time of day.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let bytes = |name: &str| std::fs::read(out.path().join(name)).unwrap();
    assert!(bytes("one").len() > 1 << 20 && bytes("one") == bytes("two"));
}

#[test]
#[ignore = "run by the_bytes_do_not_depend_on_the_host in other surroundings"]
fn writes_one_image() {
    let tree = sample();
    let geometry = size_for(&tree, 1 << 20, 10).unwrap();
    write_to(
        &tree,
        &options(geometry),
        Path::new(&std::env::var_os("CLIC_TEST_IMAGE").unwrap()),
        0,
    )
    .unwrap();
}

#[test]
fn an_offset_moves_it_and_changes_nothing_else() {
    let tree = sample();
    let options = options(size_for(&tree, 0, 0).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (plain, moved) = (dir.path().join("plain"), dir.path().join("moved"));
    let first = write_to(&tree, &options, &plain, 0).unwrap();
    let second = write_to(&tree, &options, &moved, 3 << 20).unwrap();
    let (plain, moved) = (std::fs::read(plain).unwrap(), std::fs::read(moved).unwrap());
    assert!(moved[..3 << 20].iter().all(|&byte| byte == 0) && moved[3 << 20..] == plain);
    let shifted: Vec<_> = first
        .in_use
        .iter()
        .map(|range| range.start + (3 << 20)..range.end + (3 << 20))
        .collect();
    assert_eq!(second.in_use, shifted);
}

#[test]
fn whoever_writes_only_what_is_in_use_has_it_all() {
    let tree = sample();
    let (image, stats) = made(&tree);
    let bytes = std::fs::read(image.path()).unwrap();
    // A medium full of something else.
    let mut medium = vec![0xa5; bytes.len()];
    for range in &stats.in_use {
        let range = range.start as usize..range.end as usize;
        medium[range.clone()].copy_from_slice(&bytes[range]);
    }
    let copy = NamedTempFile::new().unwrap();
    std::fs::write(copy.path(), &medium).unwrap();
    sound(copy.path());
    same(&tree, copy.path());
}

#[test]
fn it_grows_to_the_size_of_a_card() {
    let tree = sample();
    let (image, stats) = made(&tree);
    let bytes = 64 << 30;
    image.as_file().set_len(bytes).unwrap();
    Cmd::new("resize2fs")
        .clean_env()
        .arg("-f")
        .arg(image.path())
        .output()
        .unwrap();
    sound(image.path());
    let head = debugfs(image.path(), "show_super_stats -h");
    assert!(
        head.contains(&format!("Block count:              {}\n", bytes / BLOCK)),
        "{head}"
    );
    // One inode per 16 KiB, however small it was.
    assert!(
        head.contains(&format!("Inode count:              {}\n", bytes / 16384)),
        "{head} {stats:?}"
    );
}
