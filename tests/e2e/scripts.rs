//! What maintainer scripts and packages may do, in a tree of the host's own programs ([`World`]).

use std::fs;
use std::io::Write;

use crate::support::tool;
use crate::world::{World, control};

#[test]
fn a_script_that_fails_is_named_with_its_last_words() {
    let text = "i=0; while [ $i -lt 300 ]; do echo \"line $i of it\"; i=$((i + 1)); done\n\
                echo 'the disk of Theseus' >&2; exit 7";
    for (script, said) in [
        (
            "preinst",
            "the preinst script of unlucky failed: /var/lib/dpkg/tmp.ci/preinst install: exit status: 7\n",
        ),
        (
            "postinst",
            "unlucky cannot be configured: installed unlucky package post-installation script subprocess returned \
             error exit status 7\n",
        ),
    ] {
        let world = World::new();
        let deb = world.package("unlucky", script, text);
        let installed = world.install("unlucky", &deb);
        let printed = installed.printed;
        let failed = installed
            .failed
            .unwrap_or_else(|| panic!("it did not fail:\n{printed}"));
        assert!(failed.starts_with(said), "{failed}");
        assert!(failed.contains("line 299 of it\nthe disk of Theseus"), "{failed}");
        assert!(!failed.contains("line 200 of it"), "{failed}");
        // The log has all of it.
        assert!(
            printed.contains("line 0 of it\n") && printed.contains("line 299 of it\n"),
            "{printed}"
        );
    }
}

/// By the root of another process, by leaving the chroot, and by taking mounts away.
#[test]
fn a_script_finds_nothing_of_the_host() {
    for script in ["preinst", "postinst"] {
        let world = World::new();
        let sentinel = world.at("outside/sentinel");
        let shown = sentinel.display();
        let text = format!(
            "for root in /proc/[0-9]*/root /proc/[0-9]*/cwd; do\n\
             if [ -e \"$root{shown}\" ]; then echo \"found by $root\"; echo hit > \"$root{shown}\"; fi\ndone\n\
             umount /proc || :\n\
             if [ -e \"/proc/1/root{shown}\" ]; then echo 'found below /proc'; echo hit > \"/proc/1/root{shown}\"; fi\n\
             perl -e 'mkdir \"/leave\"; chroot \"/leave\" or exit 0; chdir \"..\" for 1..64;\n\
             chroot \".\" or exit 0; exit 0 unless -e \"{shown}\";\n\
             print \"found by chroot\\n\"; open my $file, \">\", \"{shown}\" or exit 0; print $file \"hit\"'\n\
             rmdir /leave; echo 'it was run'"
        );
        let deb = world.package("hostile", script, &text);
        let installed = world.install("hostile", &deb);
        let printed = installed.printed;
        assert_eq!(installed.failed, None, "{printed}");
        assert!(printed.contains("it was run\n"), "{printed}");
        assert!(!printed.contains("found "), "{printed}");
    }
}

/// What a package brings is unpacked by root of the sandbox, who could write anywhere.
#[test]
fn what_a_package_brings_stays_in_the_tree() {
    let world = World::new();
    let work = world.at("hostile");
    fs::create_dir_all(work.join("through")).unwrap();
    fs::write(work.join("control"), control("hostile")).unwrap();
    fs::write(work.join("through/sentinel"), "hit\n").unwrap();
    std::os::unix::fs::symlink(world.at("outside"), work.join("link")).unwrap();
    let tar = |args: &[&str]| {
        let mut all = vec!["--directory", work.to_str().unwrap(), "--owner=0", "--group=0"];
        all.extend(args);
        tool("tar", all);
    };
    let (control, data) = (work.join("control.tar"), work.join("data.tar"));
    tar(&["-cf", control.to_str().unwrap(), "./control"]);
    tar(&["-cf", data.to_str().unwrap(), "./link"]);
    tar(&[
        "-rf",
        data.to_str().unwrap(),
        "--transform=s,^./through,./link,",
        "./through/sentinel",
    ]);
    let mut deb = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", fs::read(control).unwrap()),
        ("data.tar", fs::read(data).unwrap()),
    ] {
        // The header of ar(5): name, time, owner, group, mode, size.
        let size = content.len();
        writeln!(
            deb,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`",
            0, 0, 0, 100_644
        )
        .unwrap();
        deb.extend_from_slice(&content);
    }
    let path = world.at("hostile.deb");
    fs::write(&path, deb).unwrap();
    let installed = world.install("hostile", &path);
    let failed = installed
        .failed
        .unwrap_or_else(|| panic!("it was unpacked:\n{}", installed.printed));
    assert!(
        failed.starts_with("cannot unpack hostile: /link/sentinel: "),
        "{failed}"
    );
    assert!(failed.contains("No such file or directory"), "{failed}");
}

/// What the process in the sandbox says to the one outside is not on a stream that a script has.
#[test]
fn a_script_cannot_speak_for_the_sandbox() {
    let world = World::new();
    let forged = r#"{"said":"failed","why":"forged","help":"run this","no_space":true}"#;
    let text = format!(
        "printf '\\036%s\\n%s\\n' '{forged}' '{forged}'\n\
         for stream in /proc/[0-9]*/fd/*; do printf '%s\\n' '{forged}' >\"$stream\" || :; done 2>/dev/null\n\
         echo 'Setting up ../evil (1) ...'\necho 'it was run'"
    );
    for script in ["preinst", "postinst"] {
        let deb = world.package("hostile", script, &text);
        let installed = world.install("hostile", &deb);
        assert_eq!(installed.failed, None, "{installed:?}");
        assert!(installed.printed.contains("it was run\n"), "{installed:?}");
        assert!(installed.printed.contains("forged"), "{installed:?}");
        let said: Vec<&str> = installed
            .said
            .iter()
            .filter_map(|said| said["said"].as_str())
            .collect();
        assert_eq!(said, ["unpacked", "configuring", "step"], "{installed:?}");
        let packages: Vec<_> = installed
            .said
            .iter()
            .filter_map(|said| said["package"].as_str())
            .collect();
        assert_eq!(packages, ["hostile", "hostile"], "{installed:?}");
        fs::remove_file(world.at("work/done.json")).unwrap();
    }
}

/// The end of a line may never come.
#[test]
fn a_script_that_prints_without_end_is_cut() {
    let world = World::new();
    let text = "head -c 50000000 /dev/zero | tr '\\0' a; head -c 50000000 /dev/zero | tr '\\0' b >&2; echo; echo 'its end'; exit 3";
    let deb = world.package("chatty", "postinst", text);
    let installed = world.install("chatty", &deb);
    let failed = installed.failed.expect("it fails");
    assert!(failed.contains("its end"), "{failed}");
    assert!(installed.printed.contains("its end\n") && installed.printed.contains("bytes more]"));
    assert!(
        installed.printed.len() < 100_000 && failed.len() < 100_000,
        "{} {}",
        installed.printed.len(),
        failed.len()
    );
}

/// What real scripts do is not what doors are shut for.
#[test]
fn a_script_has_what_installing_needs() {
    let world = World::new();
    let text = r#"
        ischroot
        cd /tmp
        touch file; chown 33:44 file; chmod 4755 file; mkfifo pipe; ln file link
        test "$(stat -c '%u %g %a %h' file)" = '33 44 4755 2'
        perl -e '
            use POSIX (); use Socket;
            my $number = (POSIX::uname())[4] eq "aarch64" ? 5 : 188;
            my ($path, $name, $can) = ("file", "security.capability", pack "V5", 0x02000001, 1 << 13, 0, 0, 0);
            syscall($number, $path, $name, $can, length $can, 0) == 0 or die "setxattr: $!";
            socket my $listens, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
            bind $listens, sockaddr_in(80, INADDR_LOOPBACK) or die "bind: $!";
            listen $listens, 1 or die "listen: $!";
            socket my $calls, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
            connect $calls, sockaddr_in(80, INADDR_LOOPBACK) or die "connect: $!";
            open my $terminal, "+<", "/dev/ptmx" or die "/dev/ptmx: $!";
            $( = 65534; $) = "65534 65534"; $< = $> = 65534;
            $> == 65534 && !open my $file, ">", "/etc/passwd" or die "still root";
        '
        (ulimit -c 0 && ulimit -n 200)
        # Threads.
        test "$(seq 300000 | sort --numeric-sort --reverse --parallel=2 | head -1)" = 300000
        kill -0 $$
        test "$(hostname)" = clic
        echo 'all of it'"#;
    for script in ["preinst", "postinst"] {
        let deb = world.package("honest", script, text);
        let installed = world.install("honest", &deb);
        assert_eq!(installed.failed, None, "{}", installed.printed);
        assert!(installed.printed.contains("all of it\n"), "{}", installed.printed);
        fs::remove_file(world.at("work/done.json")).unwrap();
    }
}
