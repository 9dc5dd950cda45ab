//! `--authorized-key`: which keys get in, and what is said about the others. The private halves exist no more.

mod testtree;

use clic_recipe::plan::TreeFileKind;
use clic_recipe::{AuthorizedKeys, Plan, Report, ResolveOptions, resolve};
use testtree::TestTree;

const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFFzigHv4iW6vCpsyEezcF2a6EqmqbJK6QtrNrinYpeC test@clic";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCkG6DAgawaDfweSTt7weLp8i2zwL1z762P7EN6+jPKjjAiwmW9nW5wiDxVvnAm804HnkjTKCZazP/SZXLKBNpYme71Aif7+c+VS018qH0+EghLu6/eBFuScFJqnUb5EBYm4bgg+PfhyvB4zMKaNS5qcJYCINzd4vvDfPZ/7AnRFm9sYyMPBaGbGKnGAXyj4Ix8llEEjsVG7qrqsYsxCtmLs7VNV3p9vIohSxdCRlhfmN8UgLndCwezQRmltnRfK6vzHadODMW3dB0weWlayoecyU9YQEDPIbWqV21eex53ut4cRkBIk/43/aGmBu8SbYvT5snD5y6v0a8hjc3ikBOf rsa key";
const WEAK: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDFM1gTvoH7GGD9jxryymbvMh/ITY+Uxjgltu3a5CESEI2kYs2bu5MQ0SuvcobvVqUTIbbVJh8HBYIzS5sdFd4CrOIalH9WGPOW12LVS0kUfMQduAFxOxrfyW4kSubkWIPxvgZzPX/lNVskXQ1gvIiymOYWvTvwVpQrgusgx2G9Hw== weak";
const ECDSA: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAGiwhUUsQvxs4svhT66Sq1cJY23a+qyuZwsBNgHELl4qkolsHniezbwLx8EvDXA5DTgGAzRxPOF3gLEK/Xn9T+8/AEQGbVnA2BQYsu/jiAYcob58/FACLdT38e2uLIwrFUP+AR5rgNlAMOp9WP5NtCGaNphpNVr3DyqoXNitVM+HRIHwA==";

fn with(tree: &TestTree, text: &str) -> Result<Plan, Report> {
    let keys = AuthorizedKeys {
        name: "id.pub".into(),
        text: text.to_owned(),
    };
    resolve(
        &tree.tree(),
        "minimal",
        "pc",
        &ResolveOptions {
            authorized_keys: Some(keys),
        },
    )
}

#[test]
fn keys_are_shipped_and_listed_like_ssh_keygen_does() {
    let tree = TestTree::new();
    // A byte order mark, as Windows' editors write it.
    let text = format!("\u{feff}# mine\n{ED25519}\n\n{RSA}\r\n  from=\"10.0.0.0/8,a b\",no-pty {ECDSA}");
    let plan = with(&tree, &text).unwrap();
    assert_eq!(
        plan.authorized_keys,
        [
            "256 SHA256:60lpGqYrkTdwOgkT9hL4V6DSlbsr5uUyYoUWoKibvzA test@clic (ED25519)",
            "2048 SHA256:W6xdSIUqVd5qNZrHTyx6OvAVd3EqCWXC7VwNZjImUQE rsa key (RSA)",
            "521 SHA256:8rSC+VauEXz8mSL4TiMjvwqy2liX3ZJFiC2cw6o5X8U no comment (ECDSA)",
        ]
    );
    let entry = |path: &str| plan.files.iter().find(|file| file.path == path).unwrap();
    let directory = entry("/root/.ssh");
    assert!(matches!(directory.kind, TreeFileKind::Directory));
    assert_eq!((directory.mode, directory.from.as_str()), (0o700, "clic"));
    let file = entry("/root/.ssh/authorized_keys");
    assert_eq!(
        (file.mode, file.owner.as_str(), file.group.as_str()),
        (0o600, "root", "root")
    );
    let TreeFileKind::File(content) = &file.kind else {
        panic!("{file:?}")
    };
    let bytes = content.data.read().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&bytes),
        format!("{ED25519}\n{RSA}\nfrom=\"10.0.0.0/8,a b\",no-pty {ECDSA}\n")
    );
    assert_ne!(plan.fingerprint(), tree.plan().fingerprint());
    assert!(
        !serde_json::to_string(&plan).unwrap().contains("id.pub"),
        "the plan has no path of the host"
    );
}

#[test]
fn what_is_no_key_is_told() {
    let cut = &ED25519[..60];
    let swapped = ED25519.replace("ssh-ed25519 ", "ssh-rsa ");
    let cases = [
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n",
            "id.pub: holds a PRIVATE key",
            "ends in `.pub`",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\n",
            "id.pub: holds a PRIVATE key",
            "",
        ),
        (
            "PuTTY-User-Key-File-3: ssh-ed25519\n",
            "id.pub: holds a PRIVATE key",
            "",
        ),
        (
            "---- BEGIN SSH2 PUBLIC KEY ----\n",
            "id.pub:1:1: this is a public key in the format of RFC 4716",
            "ssh-keygen -i",
        ),
        ("", "id.pub: has no key in it", ""),
        ("# nothing\n", "id.pub: has no key in it", ""),
        (
            "\n  hello world\n",
            "id.pub:2:3: this is not an OpenSSH public key",
            "",
        ),
        (cut, "id.pub:1:1: ", "copy the whole line"),
        ("ssh-ed25519 ****", "id.pub:1:1: the key's base64 is damaged", ""),
        (
            "ssh-ed25519",
            "id.pub:1:1: this is not a whole `ssh-ed25519` key",
            "",
        ),
        (&swapped, "id.pub:1:1: this is not a whole `ssh-rsa` key", ""),
        (
            WEAK,
            "id.pub:1:1: an RSA key of 1024 bits is too weak",
            "ssh-keygen -t ed25519",
        ),
        (
            "ssh-dss AAAA x",
            "id.pub:1:1: DSA keys are no longer accepted",
            "",
        ),
        (
            "ssh-ed25519-cert-v01@openssh.com AAAA x",
            "id.pub:1:1: this is a certificate",
            "",
        ),
    ];
    for (text, message, help) in cases {
        let tree = TestTree::new();
        let said = with(&tree, text).unwrap_err().to_string();
        assert!(
            said.starts_with(message) && said.contains(help),
            "for {text:?}: {said}"
        );
    }
}

#[test]
fn a_private_key_is_not_repeated() {
    let tree = TestTree::new();
    let secret = "hello\n-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n";
    let report = with(&tree, secret).unwrap_err();
    for text in [report.to_string(), report.render(80, false, true)] {
        assert!(!text.contains("c2VjcmV0"), "{text}");
    }
}

#[test]
fn an_overlay_can_not_bring_keys_too() {
    let tree = TestTree::new();
    tree.write("overlays/base/files/root/.ssh/authorized_keys", ED25519);
    let said = with(&tree, ED25519).unwrap_err().to_string();
    assert!(said.contains("/root/.ssh/authorized_keys"), "{said}");
}
