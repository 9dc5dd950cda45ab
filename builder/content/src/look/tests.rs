use super::*;
use clic_debian::testdeb::{compressed, file, tar};

fn looked(bytes: &[u8], most: u64, start: Option<&str>) -> Result<u64, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    std::fs::write(&path, bytes).unwrap();
    look(&path, Unpack::Tar, most, start).map_err(|error| error.to_string())
}

#[test]
fn an_archive_is_known_before_it_is_unpacked() {
    let site = tar(&[
        file("site/index.html", b"hello", 0o644),
        file("site/été.html", b"summer", 0o644),
    ]);
    let site = compressed(".xz", &site);
    assert_eq!(looked(&site, u64::MAX, Some("site/été.html")), Ok(11));
    let said = looked(&site, 10, None).unwrap_err();
    assert!(
        said.starts_with("its files together are larger than allowed"),
        "{said}"
    );
    let said = looked(&site, 100, Some("index.html")).unwrap_err();
    assert!(
        said.starts_with("its first page, \"index.html\", is not there; is it `site/index.html`?"),
        "{said}"
    );
    let said = looked(&site[..site.len() / 2], 100, None).unwrap_err();
    assert!(said.starts_with("it cannot be read as a tar"), "{said}");
}
