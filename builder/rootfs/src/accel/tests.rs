use super::*;

#[test]
fn rebuilds_of_one_source_are_the_same_version() {
    assert!(same_version("5.2.15-2+b13", "5.2.15-2+b2"));
    assert!(same_version("5.2.15-2", "5.2.15-2+b2"));
    assert!(!same_version("5.2.15-2", "5.2.15-3"));
    assert!(!same_version("1+build", "1"));
    assert!(!same_version("3.0.17-1~deb12u2", "3.0.17-1~deb12u3"));
}

/// The loader's name, where dpkg and sed of a made-up suite have it.
fn program(words: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 0x78];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (file[0x20], file[0x36], file[0x38], file[0x40]) = (0x40, 0x38, 1, 3);
    (file[0x48], file[0x60]) = (0x78, 28);
    file.extend_from_slice(b"/lib64/ld-linux-x86-64.so.2\0");
    file.extend_from_slice(words);
    file
}

fn put(dir: &Path, path: &str, content: &[u8]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Packages as they are extracted: /usr is not merged.
fn extracted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    put(at, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", b"loader");
    put(at, "usr/lib/x86_64-linux-gnu/libx.so", b"x");
    put(at, "usr/lib/x86_64-linux-gnu/perl5/5.36/A.pm", b"");
    put(at, "bin/sed", &program(b""));
    put(at, "usr/bin/dpkg", &program(b"\0amd64\0"));
    put(at, "usr/bin/uname", &program(b""));
    put(at, "usr/share/doc/sed/copyright", b"");
    put(at, "etc/shadow", b"");
    dir
}

#[test]
fn a_tools_tree_holds_listed_programs_and_libraries() {
    let dir = extracted();
    let at = dir.path();
    fs::set_permissions(at.join("bin/sed"), Permissions::from_mode(0o4700)).unwrap();
    fit(at, Arch::Amd64, Arch::Arm64).unwrap();
    let mut found: Vec<String> = walk(at)
        .iter()
        .map(|path| path.strip_prefix(at).unwrap().display().to_string())
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "modules/perl5/5.36/A.pm",
            "usr/bin/dpkg",
            "usr/bin/sed",
            "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            "usr/lib/x86_64-linux-gnu/libx.so",
        ]
    );
    assert!(at.join("usr/lib/x86_64-linux-gnu/perl5").is_dir());
    let sed = fs::read(at.join("usr/bin/sed")).unwrap();
    assert!(sed.ends_with(b"/.clic/ld.so\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
    assert_eq!(
        fs::metadata(at.join("usr/bin/sed")).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    assert!(fs::read(at.join("usr/bin/dpkg")).unwrap().ends_with(b"\0arm64\0"));
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn tools_that_do_not_fit_are_refused() {
    let wrong = |change: &dyn Fn(&Path)| {
        let dir = extracted();
        change(dir.path());
        format!("{:#}", fit(dir.path(), Arch::Amd64, Arch::Arm64).unwrap_err())
    };
    let error = wrong(&|at| fs::remove_dir_all(at.join("lib")).unwrap());
    assert!(
        error.contains("ld-linux-x86-64.so.2: is libc6 of amd64 among them?"),
        "{error}"
    );
    let error = wrong(&|at| put(at, "usr/bin/dpkg", &program(b"")));
    assert_eq!(
        error,
        "the tool bin/dpkg of dpkg does not fit: amd64 is not in it"
    );
    let error = wrong(&|at| put(at, "bin/sed", b"#!/bin/sh\n"));
    assert_eq!(
        error,
        "the tool bin/sed of sed does not fit: it is not a dynamic program"
    );
    let error = wrong(&|at| put(at, "usr/bin/sed", b""));
    assert!(error.ends_with("are both in the tools"), "{error}");
}

#[test]
fn a_run_is_prepared_for_packages_of_the_same_version() {
    let tools = extracted();
    fit(tools.path(), Arch::Amd64, Arch::Arm64).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::remove_file(tools.path().join("usr/bin/dpkg")).unwrap();
    // A link is not followed, wherever it leads.
    symlink("/bin/sh", tools.path().join("usr/bin/dpkg")).unwrap();
    put(outside.path(), "qemu", b"");
    let emulator = Emulator::at(Arch::Arm64, &outside.path().join("qemu"));
    let prepare = |same: fn(&str) -> bool| {
        let scratch = tempfile::tempdir().unwrap();
        let accel = Accel::prepare(
            tools.path(),
            Arch::Amd64,
            Arch::Arm64,
            &emulator,
            scratch.path(),
            same,
        )
        .unwrap();
        (scratch, accel)
    };
    let (scratch, accel) = prepare(|_| true);
    assert_eq!(accel.twins, ["bin/sed"]);
    let handler = scratch.path().canonicalize().unwrap().join("handler");
    assert!(
        accel
            .registration()
            .ends_with(&format!(":{}:OPF", handler.display())),
        "{}",
        accel.registration()
    );
    assert!(fs::read(&handler).unwrap().starts_with(b"\x7fELF"));
    fs::write(scratch.path().join("starts"), "n /usr/bin/sed\ne /usr/bin/dpkg\n").unwrap();
    assert_eq!(accel.counts().unwrap().native, 1);
    let (_scratch, accel) = prepare(|package| package != "sed");
    assert!(accel.twins.is_empty());
}

#[test]
fn the_handler_is_static_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let handler = dir.path().join("handler");
    // Links: a program that was just written may be busy, while another test starts a process.
    symlink(concat!(env!("OUT_DIR"), "/handler"), &handler).unwrap();
    let mut copy = HANDLER.to_vec();
    assert!(!elf::set_loader(&mut copy, "/x").unwrap(), "it has a loader");
    let run = |arguments: &[&str]| {
        let finished = clic_host::Cmd::new(handler.to_str().unwrap())
            .args(arguments)
            .finish()
            .unwrap();
        (finished.status.code(), finished.stdout, finished.stderr)
    };
    let fails = |arguments: &[&str]| {
        let (code, _, said) = run(arguments);
        assert_eq!(code, Some(126));
        said
    };
    let said = fails(&[]);
    assert!(
        said.contains("the kernel starts this, for programs of another architecture"),
        "{said}"
    );
    assert!(fails(&["/usr/bin/sed"]).contains("the kernel starts this"));
    let said = fails(&["/usr/bin/no-such-program", "no-such-program"]);
    assert!(
        said.contains("/usr/bin/no-such-program: no emulator for it at /.clic/qemu or "),
        "{said}"
    );
    // With an emulator beside it: `-0 ARGV0 PROGRAM ARGUMENTS`.
    symlink("/bin/echo", dir.path().join("handler.qemu")).unwrap();
    assert_eq!(run(&["/bin/x", "name", "-a", "b"]).1, b"-0 name /bin/x -a b\n");
    assert_eq!(run(&["-x", ""]).1, b"-0  ./-x\n");
}
