//! `--authorized-key FILE`: OpenSSH public keys that may log in as root, checked and written down.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use clic_host::Sha256;

use crate::merge::content;
use crate::plan::{TreeFile, TreeFileKind};
use crate::report::{Problem, Problems};

use crate::source::{Origin, SourceFile};

/// What `--authorized-key` named.
#[derive(Clone, Debug)]
pub struct AuthorizedKeys {
    /// The file as the person named it, for errors. It is not a part of the plan.
    pub name: PathBuf,
    /// The file's text: lines as in `~/.ssh/authorized_keys`.
    pub text: String,
}

/// Key types that sshd of Debian 12 accepts, and what `ssh-keygen -l` calls them. `ssh-dss` is off since OpenSSH 7.0.
const TYPES: [(&str, &str); 7] = [
    ("ssh-ed25519", "ED25519"),
    ("ssh-rsa", "RSA"),
    ("ecdsa-sha2-nistp256", "ECDSA"),
    ("ecdsa-sha2-nistp384", "ECDSA"),
    ("ecdsa-sha2-nistp521", "ECDSA"),
    ("sk-ssh-ed25519@openssh.com", "ED25519-SK"),
    ("sk-ecdsa-sha2-nistp256@openssh.com", "ECDSA-SK"),
];

/// Smallest RSA key that we let in, in bits: NIST SP 800-131A, and OpenSSH's own default for new keys is above it.
const RSA_LEAST: u32 = 2048;

/// The keys as `ssh-keygen -l` lists them, and what must be in the image for them.
pub(crate) fn plan(
    given: &AuthorizedKeys,
    problems: &mut Problems,
) -> (Vec<String>, Vec<(TreeFile, Origin)>) {
    // Windows' editors begin a file with one.
    let text = given.text.strip_prefix('\u{feff}').unwrap_or(&given.text);
    let file = SourceFile::new(&given.name, text);
    let before = problems.count();
    // Told about the file as a whole: an error that shows lines would show the secret.
    if given.text.contains("PRIVATE KEY") || given.text.contains("PuTTY-User-Key-File") {
        problems.push(
            Problem::file(
                &given.name,
                "holds a PRIVATE key, which must never leave your machine, least of all in an image",
            )
            .help("name the public half: the file whose name ends in `.pub`"),
        );
        return (Vec::new(), Vec::new());
    }
    let mut listed = Vec::new();
    let mut lines = String::new();
    for number in 1..=text.lines().count() {
        let span = file.line_span(number);
        let line = &file.text[span.clone()];
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match key(line) {
            Ok(key) => {
                listed.push(key);
                lines.push_str(line);
                lines.push('\n');
            }
            Err(Wrong { what, help, fatal }) => {
                problems.wrong(&file.at(span), what).help(help);
                if fatal {
                    break;
                }
            }
        }
    }
    if listed.is_empty() && problems.count() == before {
        problems.push(
            Problem::file(&given.name, "has no key in it").help("name a file like `~/.ssh/id_ed25519.pub`"),
        );
    }
    let origin = file.at(file.line_span(1));
    let entry = |path: &str, kind, mode| TreeFile {
        path: path.to_owned(),
        from: "clic".to_owned(),
        kind,
        mode,
        owner: "root".to_owned(),
        group: "root".to_owned(),
    };
    let entries = vec![
        (
            entry("/root/.ssh", TreeFileKind::Directory, 0o700),
            origin.clone(),
        ),
        (
            entry(
                "/root/.ssh/authorized_keys",
                TreeFileKind::File(content(lines.into_bytes())),
                0o600,
            ),
            origin,
        ),
    ];
    (listed, entries)
}

struct Wrong {
    what: String,
    help: &'static str,
    /// Nothing after this line can be right.
    fatal: bool,
}

/// A line's key as `ssh-keygen -l` shows it: `256 SHA256:... comment (ED25519)`.
fn key(line: &str) -> Result<String, Wrong> {
    let wrong = |what: String, help| Wrong {
        what,
        help,
        fatal: false,
    };
    if line.contains("BEGIN SSH2 PUBLIC KEY") {
        return Err(Wrong {
            what: "this is a public key in the format of RFC 4716, which sshd does not read".to_owned(),
            help: "turn it into OpenSSH's format: ssh-keygen -i -f FILE",
            fatal: true,
        });
    }
    let mut rest = line;
    let mut word = next_word(&mut rest);
    if !word.contains("ssh-") && !word.contains("ecdsa-") || word.contains(['=', '"']) {
        // Options come before the type: from="192.168.0.0/16",no-pty
        word = next_word(&mut rest);
    }
    if word == "ssh-dss" {
        return Err(wrong(
            "DSA keys are no longer accepted by sshd".to_owned(),
            "make a new one: ssh-keygen -t ed25519",
        ));
    }
    if word.contains("-cert-") {
        return Err(wrong(
            "this is a certificate, not a key".to_owned(),
            "name the key's own `.pub` file",
        ));
    }
    let Some((kind, shown)) = TYPES.into_iter().find(|(kind, _)| *kind == word) else {
        return Err(wrong(
            "this is not an OpenSSH public key".to_owned(),
            "a key is one line: type, base64, comment, like `ssh-ed25519 AAAA... name@host`",
        ));
    };
    let data = next_word(&mut rest);
    let blob = STANDARD.decode(data).map_err(|_| {
        wrong(
            "the key's base64 is damaged".to_owned(),
            "copy the whole line of the `.pub` file again",
        )
    })?;
    let bits = bits(kind, &blob).ok_or_else(|| {
        wrong(
            format!("this is not a whole `{kind}` key"),
            "copy the whole line of the `.pub` file again",
        )
    })?;
    if kind == "ssh-rsa" && bits < RSA_LEAST {
        return Err(wrong(
            format!("an RSA key of {bits} bits is too weak"),
            "make a new one: ssh-keygen -t ed25519",
        ));
    }
    let comment = rest.trim();
    if comment.chars().any(char::is_control) {
        return Err(wrong(
            "the comment has control characters".to_owned(),
            "remove them",
        ));
    }
    let comment = if comment.is_empty() { "no comment" } else { comment };
    let fingerprint = STANDARD_NO_PAD.encode(Sha256::of(&blob).as_bytes());
    Ok(format!("{bits} SHA256:{fingerprint} {comment} ({shown})"))
}

/// The next word; blanks in double quotes do not end it (sshd(8), authorized keys file format).
fn next_word<'l>(rest: &mut &'l str) -> &'l str {
    let text = rest.trim_start();
    let (mut quoted, mut escaped) = (false, false);
    let end = text
        .char_indices()
        .find(|(_, c)| {
            let ends = !quoted && c.is_whitespace();
            quoted ^= *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        })
        .map_or(text.len(), |(index, _)| index);
    let (word, after) = text.split_at(end);
    *rest = after;
    word
}

/// Size of the key in bits, if the blob is what RFC 4253 (6.6), RFC 5656 (3.1), RFC 8709 (4) and OpenSSH's
/// PROTOCOL.u2f say.
fn bits(kind: &str, blob: &[u8]) -> Option<u32> {
    let mut fields = Vec::new();
    let mut rest = blob;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (field, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        fields.push(field);
        rest = after;
    }
    let (name, fields) = fields.split_first()?;
    if *name != kind.as_bytes() {
        return None;
    }
    let curve = |size: usize, curve: &[u8], point: &[u8]| {
        kind.strip_prefix("sk-").unwrap_or(kind).as_bytes().get(11..19) == Some(curve)
            && point.len() == 2 * size + 1
            && point.first() == Some(&4)
    };
    match (kind, fields) {
        ("ssh-ed25519", [key]) | ("sk-ssh-ed25519@openssh.com", [key, _]) => (key.len() == 32).then_some(256),
        ("ssh-rsa", [_, modulus]) => {
            let digits = modulus
                .iter()
                .position(|byte| *byte != 0)
                .and_then(|start| modulus.get(start..))?;
            let bits = u32::try_from(digits.len()).ok()?.checked_mul(8)?;
            Some(bits - digits.first()?.leading_zeros())
        }
        ("ecdsa-sha2-nistp256", [name, point]) | ("sk-ecdsa-sha2-nistp256@openssh.com", [name, point, _]) => {
            curve(32, name, point).then_some(256)
        }
        ("ecdsa-sha2-nistp384", [name, point]) => curve(48, name, point).then_some(384),
        ("ecdsa-sha2-nistp521", [name, point]) => curve(66, name, point).then_some(521),
        _ => None,
    }
}
