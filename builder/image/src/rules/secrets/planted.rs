//! One secret of each kind that a box with `YunoHost` has, planted in an image: each is found, by the steps that the overlay
//! `first-boot` ships.

use std::path::Path;

use crate::read::DiskImage;
use crate::rules::{Expected, verify};
use crate::testimage::TestImage;

/// None of them is told by its content.
const PLANTED: [&str; 10] = [
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
];

#[test]
fn a_secret_of_each_kind_is_found() {
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
    // Empty ones keep a place.
    for path in PLANTED {
        image.write(path, b"");
    }
    let found = |image: &TestImage| -> Vec<String> {
        let disk = DiskImage::open(&image.build()).unwrap();
        let violations = verify(&disk, &Expected::planned(image.description.clone())).unwrap();
        violations.into_iter().map(|violation| violation.what).collect()
    };
    assert_eq!(found(&image), [""; 0]);
    for path in PLANTED {
        image.write(path, b"x");
    }
    let found = found(&image);
    for path in PLANTED {
        let told = found
            .iter()
            .filter(|what| what.starts_with(&format!("{path} is a secret that each device makes (")));
        assert_eq!(told.count(), 1, "{path}: {found:#?}");
    }
    assert_eq!(found.len(), PLANTED.len(), "{found:#?}");
}
