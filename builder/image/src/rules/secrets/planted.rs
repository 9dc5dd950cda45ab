//! One secret of each kind that packages make, planted in an image: each is found, by the steps that overlays ship.

use std::path::Path;

use crate::read::DiskImage;
use crate::rules::{Expected, verify};
use crate::testimage::TestImage;

/// None of them is told by its content.
const PLANTED: [&str; 26] = [
    "/etc/bind/rndc.key",
    "/etc/dkim/clic.internal.mail.key",
    "/etc/dropbear/dropbear_rsa_host_key",
    "/etc/ejabberd/ejabberd.pem",
    "/etc/iscsi/initiatorname.iscsi",
    "/etc/munge/munge.key",
    "/etc/nsd/nsd_control.key",
    "/etc/nvme/hostid",
    "/etc/postfix/sni.db",
    "/etc/postsrsd.secret",
    "/etc/ssl/private/ssl-cert-snakeoil.key",
    "/etc/xrdp/rsakeys.ini",
    "/etc/yunohost/.admin_cookie_secret",
    "/etc/yunohost/.ssowat_cookie_secret",
    "/etc/yunohost/certs/clic.internal-history/20260101.000000-selfsigned/key.pem",
    "/etc/yunohost/certs/yunohost.org/key.pem",
    "/etc/yunohost/psql",
    "/usr/share/yunohost/ssl/ca/cakey.pem",
    "/usr/share/yunohost/ssl/certs/yunohost_key.pem",
    "/var/cache/yunohost-portal/sessions/a",
    "/var/cache/yunohost/sessions/a",
    "/var/lib/dkms/mok.key",
    "/var/lib/ejabberd/.erlang.cookie",
    "/var/lib/phpmyadmin/blowfish_secret.inc.php",
    "/var/lib/postfix/prng_exch",
    "/var/lib/rabbitmq/.erlang.cookie",
];

/// What is wrong with an image that has the steps, and this in each of the places.
fn found(secret: &[u8]) -> Vec<String> {
    let image = TestImage::x86();
    let steps = ["base", "first-boot"].into_iter().flat_map(|overlay| {
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../overlays")
            .join(overlay);
        std::fs::read_dir(overlay.join("files/usr/lib/clic/first-boot.d")).expect("the overlay has steps")
    });
    for entry in steps {
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
