//! Packages in a tree that takes no time to make: the programs are the host's own (`/usr`, mounted), the database is
//! empty, and the job is what a build gives to the process in its sandbox.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{clic_binary, run, tool};

/// Makes the tree in `$1`, then does the job in `$3` with the program `$2`.
const SETUP: &str = r#"
mount -t tmpfs -o mode=755 none "$1"
cd "$1"
mkdir -p usr/sbin etc var/log var/lib/dpkg/info var/lib/dpkg/triggers var/lib/dpkg/updates
for dir in bin lib lib64 libexec share; do
    if [ -d "/usr/$dir" ]; then mkdir "usr/$dir"; mount --rbind "/usr/$dir" "usr/$dir"; fi
done
for link in bin sbin lib lib64; do ln -s "usr/$link" "$link"; done
cp -L /sbin/ldconfig /sbin/start-stop-daemon usr/sbin/
cp /etc/passwd /etc/group etc/
for name in status available diversions statoverride; do : > "var/lib/dpkg/$name"; done
exec "$2" inside-sandbox "$3"
"#;

/// A directory with a tree to come, and something beside it that no package may touch.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["work/root", "outside"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        fs::write(dir.path().join("outside/sentinel"), "untouched\n").unwrap();
        Self { dir }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The package `name` with this maintainer script.
    fn package(&self, name: &str, script: &str, text: &str) -> PathBuf {
        let root = self.at("package");
        fs::create_dir_all(root.join("DEBIAN")).unwrap();
        fs::write(root.join("DEBIAN/control"), control(name)).unwrap();
        let path = root.join("DEBIAN").join(script);
        fs::write(&path, format!("#!/bin/sh\nset -e\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let deb = self.at("package.deb");
        let options = ["--build", "--root-owner-group"].map(std::ffi::OsStr::new);
        tool(
            "dpkg-deb",
            [options[0], options[1], root.as_os_str(), deb.as_os_str()],
        );
        deb
    }

    /// Installs it; what was printed, and why it failed if it did. Nothing outside is different afterwards.
    fn install(&self, name: &str, deb: &Path) -> (String, Option<String>) {
        self.install_by(&mut self.command(name, deb))
    }

    /// What installs it.
    fn command(&self, name: &str, deb: &Path) -> Command {
        let root = self.at("work/root");
        let job = serde_json::json!({
            "root": root, "arch": "amd64", "epoch": 1_700_000_000, "threads": 2, "accel": null, "restore": [],
            "work": { "packages": {
                "base": false, "preseeds": [],
                "new": [{ "name": name, "deb": deb, "installed_size": 1024 }],
            } },
            "tar": self.at("work/changes.tar"), "done": self.at("work/done.json"),
        });
        let path = self.at("work/job.json");
        fs::write(&path, job.to_string()).unwrap();
        let mut command = Command::new("unshare");
        command
            .args([
                "--user",
                "--map-root-user",
                "--map-auto",
                "--mount",
                "--pid",
                "--net",
                "--uts",
            ])
            .args([
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--",
                "sh",
                "-ec",
                SETUP,
                "sh",
            ])
            .args([&root, &clic_binary(), &path]);
        command
    }

    /// As [`World::install`], by something that starts [`World::command`].
    fn install_by(&self, command: &mut Command) -> (String, Option<String>) {
        let said = run(command);
        let sentinel = fs::read_to_string(self.at("outside/sentinel")).unwrap();
        assert_eq!(sentinel, "untouched\n", "{said:?}");
        assert_eq!(fs::read_dir(self.at("outside")).unwrap().count(), 1, "{said:?}");
        let failed = said
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.trim_start_matches('\u{1e}')).ok())
            .find(|event| event["said"] == "failed")
            .map(|event| event["why"].as_str().unwrap().to_owned());
        assert_eq!(said.code, Some(i32::from(failed.is_some())), "{said:?}");
        assert_eq!(self.at("work/done.json").exists(), failed.is_none(), "{said:?}");
        (said.stdout, failed)
    }
}

fn control(name: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Test <t@example.org>\nDescription: test\n"
    )
}

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
        let (printed, failed) = world.install("unlucky", &deb);
        let failed = failed.unwrap_or_else(|| panic!("it did not fail:\n{printed}"));
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
             perl -e 'mkdir \"/leave\"; chroot \"/leave\" or die \"chroot: $!\"; chdir \"..\" for 1..64;\n\
             chroot \".\" or die \"chroot: $!\"; exit 0 unless -e \"{shown}\";\n\
             print \"found by chroot\\n\"; open my $file, \">\", \"{shown}\" or exit 0; print $file \"hit\"'\n\
             rmdir /leave; echo 'it was run'"
        );
        let deb = world.package("hostile", script, &text);
        let (printed, failed) = world.install("hostile", &deb);
        assert_eq!(failed, None, "{printed}");
        assert!(printed.contains("it was run\n"), "{printed}");
        assert!(!printed.contains("found "), "{printed}");
    }
}

/// The user has a terminal, whose shell reads what is typed there, and files open.
#[test]
fn a_script_has_neither_the_users_terminal_nor_open_files() {
    // 0x5412: TIOCSTI, 0x541c: TIOCLINUX.
    const TRIES: &str = r#"
        for my $place ("/dev/tty", "/dev/console", </dev/pts/[0-9]*>, map { </proc/$_/fd/*> } 1, "self") {
            print "open: $place\n" if (readlink($place) // "") =~ /outside/;
            next unless open my $terminal, "+<", $place;
            print "terminal: $place\n" if -t $terminal;
            print "typed: $place\n" if ioctl $terminal, 0x5412, my $key = "x";
            print "pasted: $place\n" if ioctl $terminal, 0x541c, my $paste = "\3\0";
        }
        print "not an error: $!\n" if open my $asks, ">", "/dev/tty";
        print "no terminal: $!\n";
    "#;
    for script in ["preinst", "postinst"] {
        let world = World::new();
        let deb = world.package("hostile", script, &format!("perl -e '{TRIES}'"));
        let command = world.command("hostile", &deb);
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
        fs::write(world.at("words"), words.join("\0")).unwrap();
        let line = ": </dev/tty; exec 8<outside 9<>outside/sentinel xargs --null --arg-file=words env";
        let mut on_terminal = Command::new("script");
        on_terminal
            .args(["--quiet", "--return", "--command", line, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .current_dir(world.dir.path())
            .stdin(Stdio::null());
        let (printed, failed) = world.install_by(&mut on_terminal);
        assert_eq!(failed, None, "{printed}");
        assert!(
            printed.contains("no terminal: No such file or directory"),
            "{printed}"
        );
        for found in ["open: ", "terminal: /", "typed: ", "pasted: ", "not an error: "] {
            assert!(!printed.contains(found), "{printed}");
        }
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
    let (printed, failed) = world.install("hostile", &path);
    let failed = failed.unwrap_or_else(|| panic!("it was unpacked:\n{printed}"));
    assert!(
        failed.starts_with("cannot unpack hostile: /link/sentinel: "),
        "{failed}"
    );
    assert!(failed.contains("No such file or directory"), "{failed}");
}
