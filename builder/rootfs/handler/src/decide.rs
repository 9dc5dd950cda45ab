//! Native or emulated: what is decided from the program's path and its arguments.
//!
//! Which programs have a native twin at all is not decided here: `clic-rootfs` makes one link for each program
//! of its reviewed list below [`NATIVE`]. What is not there is emulated.

use std::ffi::CStr;

/// Holds a link for each program that may run natively, at the path that it has in the tree.
pub const NATIVE: &str = "/.clic/native";

/// The emulator, as seen in the tree.
pub const QEMU: &CStr = c"/.clic/qemu";

/// After the path that the handler was registered with: the emulator, as seen outside of the tree.
pub const QEMU_BESIDE: &str = ".qemu";

/// One line for each start.
pub const STARTS: &str = "/.clic/starts";

/// The longest path that is recorded, in bytes: a line stays far below what `write` appends at once.
const RECORDED: usize = 200;

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By its native twin, if it has one.
    Native,
    /// By QEMU, always.
    Emulated,
}

/// What `path` (absolute, without links) with `arguments` (without `argv[0]`) may be run by.
pub fn decide(path: &[u8], arguments: &[&[u8]]) -> Way {
    // A link of /proc to a file that is not in this tree, or no longer, has another form.
    if !path.starts_with(b"/usr/") || path.ends_with(b" (deleted)") {
        return Way::Emulated;
    }
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let neutral = match name {
        b"openssl" => openssl(arguments),
        b"seq" => seq(arguments),
        _ if name.starts_with(b"python3") => python(arguments),
        _ => true,
    };
    if neutral { Way::Native } else { Way::Emulated }
}

/// What `py3compile` asks each Python for: the number and the name of its form of byte code.
const ABOUT_BYTE_CODE: [&[u8]; 4] = [
    b"import imp; print(imp.get_magic())",
    b"import imp; print(imp.get_tag())",
    b"import importlib.util; print(importlib.util.MAGIC_NUMBER)",
    b"import sys; print(sys.implementation.cache_tag)",
];

/// Python only compiles to byte code natively, which is the same on all architectures and needs nothing but
/// the standard library. Other scripts may load extension modules of the target, or ask for the platform.
fn python(arguments: &[&[u8]]) -> bool {
    let mut arguments = arguments.iter();
    while let Some(&argument) = arguments.next() {
        match argument {
            b"-B" | b"-E" | b"-I" | b"-O" | b"-OO" | b"-s" | b"-S" | b"-Es" | b"-q" => {}
            b"-m" => return matches!(arguments.next(), Some(&(b"py_compile" | b"compileall"))),
            b"-c" => {
                return arguments
                    .next()
                    .is_some_and(|code| ABOUT_BYTE_CODE.contains(code));
            }
            script => {
                let parts: Vec<&[u8]> = script.split(|&byte| byte == b'/').collect();
                return match parts[..] {
                    [b"", b"usr", b"bin", name] | [b"", b"bin", name] => {
                        matches!(name, b"py3compile" | b"py3clean")
                    }
                    [b"", b"usr", b"lib", library, name] => {
                        library.starts_with(b"python3.")
                            && matches!(name, b"py_compile.py" | b"compileall.py")
                    }
                    _ => false,
                };
            }
        }
    }
    false
}

/// Without those of OpenSSL's commands that tell how it was built, or measure the processor.
fn openssl(arguments: &[&[u8]]) -> bool {
    matches!(
        arguments.first(),
        Some(
            &(b"crl"
                | b"dgst"
                | b"dhparam"
                | b"ecparam"
                | b"genpkey"
                | b"genrsa"
                | b"passwd"
                | b"pkey"
                | b"rand"
                | b"rehash"
                | b"req"
                | b"rsa"
                | b"verify"
                | b"x509")
        )
    )
}

/// Whole numbers only, which a `long double` of 80 bits (x86) or 128 bits (ARM) holds exactly.
fn seq(arguments: &[&[u8]]) -> bool {
    arguments.iter().all(|argument| {
        let digits = argument.strip_prefix(b"-").unwrap_or(argument);
        (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
    })
}

/// The line of [`STARTS`] for one start: `n` or `e`, a blank, the program's path.
pub fn record(way: Way, program: &[u8]) -> Vec<u8> {
    let mut line = match way {
        Way::Native => b"n ".to_vec(),
        Way::Emulated => b"e ".to_vec(),
    };
    let shown = &program[..program.len().min(RECORDED)];
    line.extend(shown.iter().map(|&byte| if byte == b'\n' { b'?' } else { byte }));
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(path: &str, arguments: &[&str]) -> Way {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        decide(path.as_bytes(), &arguments)
    }

    #[test]
    fn programs_of_the_tree_may_have_a_twin() {
        assert_eq!(way("/usr/bin/dash", &["-c", "exit"]), Way::Native);
        assert_eq!(way("/usr/bin/perl", &["-e", "1"]), Way::Native);
    }

    #[test]
    fn what_is_not_a_file_of_the_tree_is_emulated() {
        for path in [
            "",
            "/bin/dash",
            "/usr/bin/dash (deleted)",
            "(unreachable)/usr/bin/dash",
            "/memfd:x (deleted)",
            "/root/usr/bin/dash",
            "usr/bin/dash",
            "/dev/pts/0",
        ] {
            assert_eq!(way(path, &[]), Way::Emulated, "{path}");
        }
    }

    #[test]
    fn python_compiles_natively_and_does_nothing_else_so() {
        let python = |arguments: &[&str]| way("/usr/bin/python3.11", arguments);
        for arguments in [
            &["/usr/bin/py3compile", "-p", "x"][..],
            &["/usr/bin/py3clean", "-p", "x"],
            &["-E", "/bin/py3compile"],
            &["-c", "import imp; print(imp.get_magic())"],
            &["-m", "py_compile", "-"],
            &["-O", "-m", "compileall", "/usr/lib"],
            &["/usr/lib/python3.11/py_compile.py", "a.py"],
        ] {
            assert_eq!(python(arguments), Way::Native, "{arguments:?}");
        }
        for arguments in [
            &[][..],
            &["-"],
            &["-m"],
            &["-m", "platform"],
            &["-c", "import py_compile"],
            &["-c"],
            &["-X", "importtime", "/usr/bin/py3compile"],
            &["/tmp/usr/bin/py3compile"],
            &["/usr/lib/python3.11/../../../tmp/py_compile.py"],
            &["/usr/lib/python3/dist-packages/py_compile.py"],
            &["/usr/lib/python3.11/platform.py"],
            &["/usr/lib/python3py_compile.py"],
            &["/usr/bin/fail2ban-client"],
        ] {
            assert_eq!(python(arguments), Way::Emulated, "{arguments:?}");
        }
    }

    #[test]
    fn openssl_tells_of_the_targets_build() {
        assert_eq!(
            way("/usr/bin/openssl", &["rehash", "/etc/ssl/certs"]),
            Way::Native
        );
        assert_eq!(way("/usr/bin/openssl", &["version", "-a"]), Way::Emulated);
        assert_eq!(way("/usr/bin/openssl", &[]), Way::Emulated);
    }

    #[test]
    fn only_whole_numbers_are_the_same_everywhere() {
        assert_eq!(way("/usr/bin/seq", &["6", "-1", "0"]), Way::Native);
        for other in ["0.1", "-w", "-", "1e3", "", "99999999999999999999"] {
            assert_eq!(way("/usr/bin/seq", &["1", other]), Way::Emulated, "{other}");
        }
    }

    #[test]
    fn one_short_line_for_a_start() {
        assert_eq!(record(Way::Native, b"/usr/bin/sed"), b"n /usr/bin/sed\n");
        assert_eq!(record(Way::Emulated, b"/tmp/a\nb"), b"e /tmp/a?b\n");
        assert_eq!(record(Way::Emulated, &[b'x'; 5000]).len(), RECORDED + 3);
    }
}
