//! The build's own tools: packages of the build host's architecture, which are in no image. Some make content, the others
//! stand in for slow emulated programs.
//!
//! For the latter there is a reviewed list: programs that give the same results on every architecture.
//!
//! What is not here is emulated. A program belongs here if what it prints and writes depends on its arguments
//! and on the files of the tree, but neither on the architecture that it was compiled for nor on the kernel's
//! idea of the machine. Kept out on purpose:
//!
//! - what tells an architecture: `uname`, `arch`, `getconf`, `lscpu`, `setarch`, `ldd`, `gcc`, `apt*`;
//! - what writes for the target's loader or loads the target's libraries: `ldconfig`, `iconvconfig`, `stdbuf`,
//!   everything with PAM (`su`, `passwd`, `chpasswd`, `chfn`, `chsh`, `runuser`), and the cache tools of the
//!   desktop (`glib-*`, `gio-*`, `gtk-*`, `gdk-*`);
//! - what computes in `long double`, of 80 bits on x86 and 128 bits on ARM: `printf`, `numfmt`, `od`;
//! - what reads records whose size differs between architectures: `who`, `users`, `last`;
//! - what terminals or processors answer: `stty`, `nproc`, `ps`.
//!
//! What remains, and is accepted: a native bash has another `$MACHTYPE` and `$HOSTTYPE`, a native perl another
//! `$Config{archname}` and another machine in `POSIX::uname`. Maintainer scripts ask dpkg or `uname` instead.

use clic_recipe::plan::Bundle;

/// Programs of one package.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub package: &'static str,
    /// Paths below `/usr`.
    pub programs: &'static [&'static str],
    /// Whether the package's programs have the name of their architecture compiled in, and must be told the
    /// target's.
    pub knows_arch: bool,
}

const fn group(package: &'static str, programs: &'static [&'static str]) -> Group {
    Group {
        package,
        programs,
        knows_arch: false,
    }
}

/// The list.
pub const GROUPS: &[Group] = &[
    // Shells: their own results are text, what they start goes through the handler again.
    group("dash", &["bin/dash"]),
    group("bash", &["bin/bash"]),
    // Files and text, byte by byte. Order comes from the file system and from the tree's own locales.
    group(
        "coreutils",
        &[
            "bin/[",
            "bin/b2sum",
            "bin/base32",
            "bin/base64",
            "bin/basename",
            "bin/basenc",
            "bin/cat",
            "bin/chgrp",
            "bin/chmod",
            "bin/chown",
            "bin/cksum",
            "bin/comm",
            "bin/cp",
            "bin/csplit",
            "bin/cut",
            "bin/date",
            "bin/dd",
            "bin/df",
            "bin/dir",
            "bin/dircolors",
            "bin/dirname",
            "bin/du",
            "bin/echo",
            "bin/env",
            "bin/expand",
            "bin/expr",
            "bin/false",
            "bin/fmt",
            "bin/fold",
            "bin/groups",
            "bin/head",
            "bin/id",
            "bin/install",
            "bin/join",
            "bin/link",
            "bin/ln",
            "bin/logname",
            "bin/ls",
            "bin/md5sum",
            "bin/mkdir",
            "bin/mkfifo",
            "bin/mknod",
            "bin/mktemp",
            "bin/mv",
            "bin/nice",
            "bin/nl",
            "bin/nohup",
            "bin/paste",
            "bin/pathchk",
            "bin/pr",
            "bin/printenv",
            "bin/pwd",
            "bin/readlink",
            "bin/realpath",
            "bin/rm",
            "bin/rmdir",
            // Of whole numbers only: the handler looks at the arguments.
            "bin/seq",
            "bin/sha1sum",
            "bin/sha224sum",
            "bin/sha256sum",
            "bin/sha384sum",
            "bin/sha512sum",
            "bin/shuf",
            "bin/sleep",
            "bin/sort",
            "bin/split",
            "bin/stat",
            "bin/sum",
            "bin/sync",
            "bin/tac",
            "bin/tail",
            "bin/tee",
            "bin/test",
            "bin/timeout",
            "bin/touch",
            "bin/tr",
            "bin/true",
            "bin/truncate",
            "bin/tsort",
            "bin/tty",
            "bin/unexpand",
            "bin/uniq",
            "bin/unlink",
            "bin/vdir",
            "bin/wc",
            "bin/whoami",
            "bin/yes",
            "sbin/chroot",
        ],
    ),
    group("diffutils", &["bin/cmp", "bin/diff", "bin/diff3", "bin/sdiff"]),
    group("findutils", &["bin/find", "bin/xargs"]),
    group("gawk", &["bin/gawk"]),
    group("grep", &["bin/grep"]),
    group("hostname", &["bin/hostname"]),
    group("mawk", &["bin/mawk"]),
    group("sed", &["bin/sed"]),
    group("debianutils", &["bin/ischroot", "bin/run-parts", "bin/tempfile"]),
    group(
        "util-linux",
        &[
            "bin/findmnt",
            "bin/flock",
            "bin/getopt",
            "bin/mountpoint",
            "bin/rev",
            "bin/setsid",
        ],
    ),
    group("bsdutils", &["bin/logger"]),
    // Archives and compression: the same source and the same settings give the same bytes. None of them takes
    // another path for another processor that would show in the output; the test of both ways compares them.
    group("bzip2", &["bin/bunzip2", "bin/bzcat", "bin/bzip2"]),
    group("cpio", &["bin/cpio"]),
    group("gzip", &["bin/gzip"]),
    group("tar", &["bin/tar"]),
    group("xz-utils", &["bin/xz"]),
    group("zstd", &["bin/zstd"]),
    // Perl itself is neutral; its compiled modules are mirrored one by one, see `mirror`.
    group("perl-base", &["bin/perl"]),
    // Only to compile to byte code; the handler looks at the arguments.
    group("python3.11-minimal", &["bin/python3.11"]),
    group("python3.13-minimal", &["bin/python3.13"]),
    // The architecture that is compiled into dpkg is replaced by the target's, see `tools`. Its database is text.
    Group {
        package: "dpkg",
        programs: &[
            "bin/dpkg",
            "bin/dpkg-deb",
            "bin/dpkg-divert",
            "bin/dpkg-query",
            "bin/dpkg-split",
            "bin/dpkg-statoverride",
            "bin/dpkg-trigger",
        ],
        knows_arch: true,
    },
    group("dpkg", &["bin/update-alternatives"]),
    // Text in /etc. Those with PAM are not here.
    group(
        "passwd",
        &[
            "bin/chage",
            "bin/gpasswd",
            "sbin/groupadd",
            "sbin/groupdel",
            "sbin/groupmod",
            "sbin/grpck",
            "sbin/grpconv",
            "sbin/grpunconv",
            "sbin/pwck",
            "sbin/pwconv",
            "sbin/pwunconv",
            "sbin/useradd",
            "sbin/userdel",
            "sbin/usermod",
        ],
    ),
    // Reads modules of any architecture, and writes tables in text and big endian.
    group("kmod", &["bin/kmod"]),
    // Links and directories by the units' text; hwdb and catalogs are little endian everywhere.
    group(
        "systemd",
        &["bin/systemctl", "bin/systemd-sysusers", "bin/systemd-tmpfiles"],
    ),
    group("udev", &["bin/systemd-hwdb"]),
    // Locales have the same form on all 64-bit little-endian machines. iconv loads its modules natively.
    group(
        "libc-bin",
        &["bin/getent", "bin/iconv", "bin/locale", "bin/localedef"],
    ),
    group("libcap2-bin", &["sbin/getcap", "sbin/setcap"]),
    // Keys are random on each machine, and removed from an image. The handler looks at openssl's arguments.
    group("openssh-client", &["bin/ssh-keygen"]),
    group("openssl", &["bin/openssl"]),
];

/// Packages whose programs make ZIM files.
pub const MAKERS: [&str; 2] = ["python3-libzim", "python3-minimal"];

/// Whether something of these bundles has to be made on the build host.
pub fn make_content(bundles: &[Bundle]) -> bool {
    bundles
        .iter()
        .flat_map(|bundle| &bundle.items)
        .any(|item| item.zim)
}

/// Perl's own compiled modules: libraries come as dependencies, these do not.
const MODULES: &str = "perl";

/// The packages that the tools tree of `suite` is made of, sorted, without their dependencies (which apt resolves,
/// leaving out recommended ones). `tree` are the packages of the tree, with name and architecture: the native
/// twins of its compiled perl modules are needed too.
pub fn packages<'a>(suite: &str, tree: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<&'a str> {
    let other_python = if suite == "bookworm" {
        "python3.13-minimal"
    } else {
        "python3.11-minimal"
    };
    let modules = tree
        .into_iter()
        .filter(|(name, arch)| *arch != "all" && name.starts_with("lib") && name.ends_with("-perl"))
        .map(|(name, _)| name);
    let mut packages: Vec<_> = GROUPS
        .iter()
        .map(|group| group.package)
        .chain([MODULES])
        .filter(|package| *package != other_python)
        .chain(modules)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_an_architecture_is_not_on_the_list() {
        let listed: Vec<&str> = GROUPS.iter().flat_map(|group| group.programs).copied().collect();
        for program in [
            "uname", "arch", "getconf", "lscpu", "setarch", "ldd", "nproc", "printf", "su", "passwd", "who",
        ] {
            assert!(
                !listed.contains(&&*format!("bin/{program}")),
                "{program} is listed"
            );
        }
        assert!(!listed.contains(&"sbin/ldconfig"));
        let mut unique = listed.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), listed.len());
        assert!(
            listed
                .iter()
                .all(|path| path.starts_with("bin/") || path.starts_with("sbin/"))
        );
    }

    #[test]
    fn packages_of_the_tools() {
        let bookworm = packages("bookworm", []);
        assert!(bookworm.contains(&"python3.11-minimal") && !bookworm.contains(&"python3.13-minimal"));
        assert!(packages("trixie", []).contains(&"python3.13-minimal"));
        assert!(bookworm.contains(&"coreutils") && bookworm.contains(&"perl"));
        let tree = [
            ("libtext-iconv-perl", "arm64"),
            ("libtext-glob-perl", "all"),
            ("libc6", "arm64"),
            ("postfix-policyd-spf-perl", "all"),
        ];
        let more = packages("bookworm", tree);
        let added: Vec<_> = more.iter().filter(|name| !bookworm.contains(name)).collect();
        assert_eq!(added, [&"libtext-iconv-perl"]);
    }
}
