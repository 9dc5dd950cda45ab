//! One secret of each kind that a box with `YunoHost` has, planted in an image: each is found, by the steps that the overlay
//! `first-boot` ships.

use std::path::Path;

use crate::read::DiskImage;
use crate::rules::{Expected, verify};
use crate::testimage::TestImage;

/// None of them is told by its content.
const PLANTED: [&str; 14] = [
    "/etc/dkim/clic.internal.mail.key",
    "/etc/postfix/sni.db",
    "/etc/postsrsd.secret",
    "/etc/ssl/private/ssl-cert-snakeoil.key",
    "/etc/yunohost/.admin_cookie_secret",
    "/etc/yunohost/.ssowat_cookie_secret",
    "/etc/yunohost/certs/clic.internal-history/20260101.000000-selfsigned/key.pem",
    "/etc/yunohost/certs/yunohost.org/key.pem",
    "/etc/yunohost/psql",
    "/usr/share/yunohost/ssl/ca/cakey.pem",
    "/usr/share/yunohost/ssl/certs/yunohost_key.pem",
    "/var/cache/yunohost-portal/sessions/a",
    "/var/cache/yunohost/sessions/a",
    "/var/lib/postfix/prng_exch",
];

/// What is wrong with an image that has the steps, and this in each of the places.
fn found(secret: &[u8]) -> Vec<String> {
    let image = TestImage::x86();
    let steps = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../overlays/first-boot/files/usr/lib/clic/first-boot.d");
    for entry in std::fs::read_dir(steps).expect("the overlay first-boot has steps") {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        image.write(
            &format!("/usr/lib/clic/first-boot.d/{name}"),
            &std::fs::read(&path).unwrap(),
        );
    }
    for path in PLANTED {
        image.write(path, secret);
    }
    let disk = DiskImage::open(&image.build()).unwrap();
    let violations = verify(&disk, &Expected::planned(image.description.clone())).unwrap();
    violations.into_iter().map(|violation| violation.what).collect()
}

#[test]
fn a_secret_of_each_kind_is_found() {
    // Empty files keep a place.
    assert_eq!(found(b""), [""; 0]);
    let found = found(b"x");
    for path in PLANTED {
        let told = found
            .iter()
            .filter(|what| what.starts_with(&format!("{path} is a secret that each device makes (")));
        assert_eq!(told.count(), 1, "{path}: {found:#?}");
    }
    assert_eq!(found.len(), PLANTED.len(), "{found:#?}");
}
