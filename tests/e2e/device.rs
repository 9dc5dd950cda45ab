//! An image of ours is a Debian system that apt keeps up to date: packages come in, new versions replace old ones, and the
//! device starts with a new kernel and firmware.
//!
//! A boot test has no network, so the image carries a small repository. What is upgraded are real packages, with their
//! maintainer scripts: built again with a higher version, and a kernel from backports, which is really another one.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{cache_dir, clic, copy_tree, edit, failures, image, run, sha256, tool, work_dir};
use crate::turn::{Work, turn};

/// What differs from board to board.
struct Device {
    board: &'static str,
    /// The package that brings the newest kernel.
    kernel: &'static str,
    /// Packages of the image that get a newer version.
    newer: &'static [&'static str],
    /// What `dpkg -V` says of a device that was never touched: files that the build changed.
    differs: &'static str,
    /// Where the upgrade happens.
    machine: &'static str,
    /// Where the changed disk starts afterwards.
    again: &'static [&'static str],
    /// A shell command that shows that the next start is one with kernel `$new`.
    starts: &'static str,
    /// A shell command that shows that the next start knows nothing more of kernel `$old`.
    forgot: &'static str,
}

const X86: Device = Device {
    board: "x86-pc",
    kernel: "linux-image-amd64",
    newer: &[
        "openssh-client",
        "openssh-server",
        "openssh-sftp-server",
        "grub-common",
        "grub2-common",
        "grub-pc-bin",
        "grub-efi-amd64-bin",
        "grub-efi-ia32-bin",
    ],
    differs: "",
    machine: "bios",
    again: &["bios", "uefi-x64"],
    starts: r#"
        [ "$(readlink -f /vmlinuz)" = "/boot/vmlinuz-$new" ]
        grep '^[[:space:]]*linux' /boot/grub/grub.cfg | head -n 1 | grep -F "vmlinuz-$new root=UUID=$(findmnt -no UUID /) "
    "#,
    forgot: r#"! grep -F "$old" /boot/grub/grub.cfg"#,
};

const PI: Device = Device {
    board: "raspberry-pi",
    kernel: "linux-image-arm64",
    newer: &[
        "openssh-client",
        "openssh-server",
        "openssh-sftp-server",
        "raspi-firmware",
    ],
    // Root file system and consoles, for the package's own hook.
    differs: "??5?????? c /etc/default/raspi-firmware",
    machine: "raspi3b",
    again: &["raspi3b"],
    starts: r#"
        cd /boot/firmware
        mountpoint .
        grep -x "kernel=vmlinuz-$new" config.txt
        grep -x "initramfs initrd.img-$new" config.txt
        grep -F " root=UUID=$(findmnt -no UUID /) " cmdline.txt
        cmp "vmlinuz-$new" "/boot/vmlinuz-$new"
        cmp "initrd.img-$new" "/boot/initrd.img-$new"
        for model in bcm2837-rpi-3-b bcm2837-rpi-3-b-plus bcm2837-rpi-zero-2-w bcm2711-rpi-4-b; do
            cmp "$model.dtb" "/usr/lib/linux-image-$new/broadcom/$model.dtb"
        done
        grep -x newer clic-marker.txt
    "#,
    forgot: r#"! ls /boot/firmware | grep -F -e "-$old""#,
};

/// Seconds after which a check of a few minutes is taken for one that hangs: an emulated processor that shares a real one with
/// others took more than five minutes to read all files of a system.
const LIMIT: u32 = 1800;

/// A file that is on a disk that starts once more.
const AGAIN: &str = "/srv/again";

/// The part that takes a few minutes only: no kernel, and so no initramfs and no second start.
#[track_caller]
fn takes_new_packages_and_newer_versions(device: &Device, machine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let few = Device {
        newer: &["openssh-client", "openssh-server", "openssh-sftp-server"],
        ..*device
    };
    let image = with_repository(&few, None, dir.path());
    let report = boot(&image, &[machine], &dir.path().join("logs"));
    assert_eq!(report["passed"], true, "{}", failures(&report));
}

#[test]
fn x86_pc_takes_new_packages_and_newer_versions() {
    takes_new_packages_and_newer_versions(&X86, "uefi-x64");
}

#[test]
#[ignore = "nightly: a quarter of an hour of dpkg and apt at emulated speed; a PC does the same in four minutes"]
fn raspberry_pi_takes_new_packages_and_newer_versions() {
    takes_new_packages_and_newer_versions(&PI, "raspi3b");
}

#[test]
#[ignore = "nightly: a kernel is installed at emulated speed, and three boots"]
fn x86_pc_is_kept_up_to_date_by_apt() {
    keeps_up_to_date(&X86);
}

#[test]
#[ignore = "nightly: two initramfs are made at emulated speed, three quarters of an hour each, and two boots"]
fn raspberry_pi_is_kept_up_to_date_by_apt() {
    keeps_up_to_date(&PI);
}

/// `minimal` for the device's board with the repository and the checks, built in `dir`.
fn with_repository(device: &Device, newest: Option<&str>, dir: &Path) -> PathBuf {
    let untouched = image(device.board);
    let _turn = turn(Work::Build);
    let tree = copy_tree(dir);
    let manifest: Value =
        serde_json::from_slice(&fs::read(untouched.with_extension("manifest.json")).unwrap()).unwrap();
    let kernels = newest.map_or_else(Vec::new, |name| kernel_from_backports(&tree, device.board, name));
    overlay(&tree, device, &manifest, &kernels, dir);
    let out = dir.join("out");
    run(clic(["build", "minimal", "--board", device.board, "--root"])
        .arg(&tree)
        .arg("--out")
        .arg(&out))
    .ok();
    out.join(format!("minimal-{}.img", device.board))
}

#[track_caller]
fn keeps_up_to_date(device: &Device) {
    let dir = tempfile::tempdir().unwrap();
    let image = with_repository(device, Some(device.kernel), dir.path());
    let first = boot(&image, &[device.machine], &dir.path().join("first"));
    assert_eq!(first["passed"], true, "{}", failures(&first));

    let changed = first["machines"][0]["disk"]
        .as_str()
        .expect("--keep keeps the disk");
    let again = boot(Path::new(changed), device.again, &dir.path().join("again"));
    let machines = again["machines"].as_array().unwrap();
    let names: Vec<_> = machines.iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, device.again);
    for machine in machines {
        assert_eq!(machine["verdict"]["kind"], "running", "{machine:#}");
        let cases = machine["cases"].as_array().unwrap();
        assert!(cases.iter().all(|case| case["status"] == "passed"), "{cases:#?}");
    }
}

/// `clic test`, whose verdict is for the caller: a disk that was used keeps no longer every rule of a new image.
fn boot(image: &Path, machines: &[&str], logs: &Path) -> Value {
    let _turn = turn(Work::Machine);
    let mut command = clic(["--json", "test", "--keep", "--boot-anyway"]);
    for machine in machines {
        command.args(["--machine", machine]);
    }
    run(command.arg("--logs").arg(logs).arg(image)).last_json()
}

/// The .deb files of the newer kernel, found by a lock of the recipe with backports.
fn kernel_from_backports(tree: &Path, board: &str, name: &str) -> Vec<PathBuf> {
    let recipe = tree.join("recipes/minimal.toml");
    let text = fs::read_to_string(&recipe).unwrap();
    let source = format!(
        "\n[[source]]\nname = \"backports\"\nsuite = \"bookworm-backports\"\npackages = [\"{name}\"]\n"
    );
    fs::write(&recipe, text.clone() + &source).unwrap();
    run(clic(["lock", "minimal", "--board", board, "--root"]).arg(tree)).ok();
    fs::write(&recipe, text).unwrap();
    let path = tree.join(format!("recipes/minimal-{board}.lock"));
    let lock = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();

    let doctor = run(&mut clic(["--json", "doctor"])).json();
    let mirror = doctor["mirror"]["main"]
        .as_str()
        .expect("doctor names the mirror");
    let packages = lock.split("\n[[package]]\n").skip(1);
    let debs: Vec<PathBuf> = packages
        .filter(|package| package.contains("~bpo"))
        .map(|package| {
            let field = |name: &str| {
                let line = package
                    .lines()
                    .find_map(|line| line.strip_prefix(&format!("{name} = \"")));
                line.and_then(|value| value.strip_suffix('"'))
                    .unwrap_or_else(|| panic!("no {name} in:\n{package}"))
            };
            download(mirror, field("path"), field("sha256"))
        })
        .collect();
    assert_eq!(
        debs.len(),
        2,
        "a kernel and the package that depends on it: {debs:?}"
    );
    debs
}

/// A file of the mirror, kept between runs.
fn download(mirror: &str, path: &str, sum: &str) -> PathBuf {
    let dir = work_dir().join("device");
    fs::create_dir_all(&dir).unwrap();
    let to = dir.join(
        Path::new(path)
            .file_name()
            .expect("a path in the archive has a name"),
    );
    if !to.exists() || sha256(&to) != sum {
        let url = format!("{}/{path}", mirror.trim_end_matches('/'));
        let answer = ureq::get(&url)
            .call()
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        std::io::copy(
            &mut answer.into_body().into_reader(),
            &mut File::create(&to).unwrap(),
        )
        .unwrap();
        assert_eq!(sha256(&to), sum, "{url}");
    }
    to
}

/// The overlay `device` with its repository and checks, as a part of the recipe.
fn overlay(tree: &Path, device: &Device, manifest: &Value, kernels: &[PathBuf], scratch: &Path) {
    let overlay = tree.join("overlays/device");
    let repository = overlay.join("files/srv/repository");
    fs::create_dir_all(&repository).unwrap();
    for kernel in kernels {
        slimmer(kernel, &scratch.join("kernel"), &repository);
    }
    for name in device.newer {
        newer(name, manifest, &scratch.join(name), &repository);
    }
    new_package(&scratch.join("clic-new"), &repository);
    index(&repository);
    let lists = overlay.join("files/etc/apt/sources.list.d");
    fs::create_dir_all(&lists).unwrap();
    fs::write(
        lists.join("device.list"),
        "deb [trusted=yes] file:/srv/repository ./\n",
    )
    .unwrap();

    let mut names = manifest["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap());
    let old = names
        .find_map(|name| kernel_version(Path::new(name)))
        .expect("the image has a kernel");
    let new = kernels.iter().find_map(|file| kernel_version(file));
    let mut toml =
        "schema = 1\ntitle = \"Device\"\ndescription = \"A repository, and what apt makes of it\"\n"
            .to_owned();
    let settings = new
        .as_ref()
        .map_or_else(String::new, |new| format!("old={old}\nnew={new}\n"));
    for (name, seconds, command) in checks(device, new.is_some()) {
        write!(
            toml,
            "\n[[check]]\nname = \"{name}\"\ntimeout-seconds = {seconds}\ncommand = '''\nset -e\nexec </dev/null\n\
             export DEBIAN_FRONTEND=noninteractive\n{settings}{command}\n'''\n"
        )
        .unwrap();
    }
    fs::write(overlay.join("overlay.toml"), toml).unwrap();
    edit(
        &tree.join("recipes/minimal.toml"),
        "overlays = [",
        "overlays = [\"device\", ",
    );
}

/// Name, seconds and command of each check, in their order. They pass on a disk that has them behind it, too.
fn checks(device: &Device, kernel: bool) -> Vec<(&'static str, u32, String)> {
    let verify = format!(
        "[ \"$(dpkg -V)\" = '{}' ] || {{ dpkg -V; exit 1; }}",
        device.differs
    );
    let versions: Vec<String> = device
        .newer
        .iter()
        .map(|name| format!("dpkg-query -W -f '${{Version}}' {name} | grep -F +clic1\n"))
        .collect();
    // The repository alone: the device's own ones are out of reach.
    let update = "apt-get update -o Dir::Etc::sourcelist=sources.list.d/device.list -o Dir::Etc::sourceparts=- \
                  -o APT::Get::List-Cleanup=0";
    let quietly = |words: &str| format!("apt-get -y {words} >/srv/log 2>&1 || {{ tail /srv/log; exit 1; }}");
    let audit = "[ -z \"$(dpkg --audit)\" ] || { dpkg --audit; exit 1; }";
    let second = format!("[ -e {AGAIN} ] || exit 0");
    let mut checks = vec![
        ("dpkg has nothing to complain of", LIMIT, audit.to_owned()),
        ("files are those of their packages", LIMIT, verify.clone()),
        ("what packages need is there", LIMIT, "apt-get check".to_owned()),
        ("apt reads a repository", LIMIT, update.to_owned()),
        (
            "a new package is installed",
            LIMIT,
            format!("{}\nclic-new\ngetent group clic-new", quietly("install clic-new")),
        ),
        (
            "newer versions are installed",
            // On a Raspberry Pi the firmware's package makes the initramfs again: half an hour, emulated.
            3600,
            format!(
                "{}\n{}systemctl is-active ssh",
                quietly("upgrade"),
                versions.concat()
            ),
        ),
    ];
    let newer_kernel = [
        (
            "a newer kernel is installed",
            3600,
            format!(
                "{}\nls /boot/vmlinuz-$new /boot/initrd.img-$new",
                // What the kernel recommends is not in our repository, and upgrade keeps back what it would have to do without.
                quietly("--no-install-recommends --with-new-pkgs upgrade")
            ),
        ),
        (
            "the next start is one with the newer kernel",
            LIMIT,
            device.starts.to_owned(),
        ),
        (
            "this is the newer kernel",
            60,
            format!("{second}\n[ \"$(uname -r)\" = \"$new\" ]"),
        ),
        (
            "the older kernel goes",
            3600,
            format!(
                "{second}\n{}\n[ ! -e /boot/vmlinuz-$old ]\n{}\n{}",
                quietly("--purge remove linux-image-$old"),
                device.starts,
                device.forgot
            ),
        ),
    ];
    let afterwards = [
        (
            "dpkg has nothing to complain of after all that",
            LIMIT,
            audit.to_owned(),
        ),
        ("files are those of their packages after all that", LIMIT, verify),
        (
            // A test ends by switching the machine off. What a clean shutdown does to the disk is done before: `u` makes
            // every file system read-only (admin-guide/sysrq of the kernel's documentation).
            "the disk is left as by a shutdown",
            120,
            format!(
                "touch {AGAIN}\nsync\necho u >/proc/sysrq-trigger\n\
                 while ! grep -q ' / ext4 ro' /proc/mounts; do sleep 1; done"
            ),
        ),
    ];
    if kernel {
        checks.extend(newer_kernel);
    }
    checks.extend(afterwards);
    checks
}

/// A package of the image once more with a higher version, in `repository`.
fn newer(name: &str, manifest: &Value, scratch: &Path, repository: &Path) {
    let packages = manifest["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == name)
        .unwrap_or_else(|| panic!("the image has no {name}"));
    let (sum, version) = (
        package["sha256"].as_str().unwrap(),
        package["version"].as_str().unwrap(),
    );
    let deb = cache_dir().join(format!("downloads/sha256/{}/{sum}", &sum[..2]));
    assert!(deb.exists(), "{name} is not in the store at {}", deb.display());
    tool("dpkg-deb", [Path::new("-R"), &deb, scratch]);
    let control = scratch.join("DEBIAN/control");
    edit(
        &control,
        &format!("Version: {version}\n"),
        &format!("Version: {version}+clic1\n"),
    );
    // Packages of one source ask for each other's very version.
    let text = fs::read_to_string(&control).unwrap();
    fs::write(
        &control,
        text.replace(&format!("(= {version})"), &format!("(= {version}+clic1)")),
    )
    .unwrap();
    if name == "raspi-firmware" {
        fs::write(scratch.join("usr/lib/raspi-firmware/clic-marker.txt"), "newer\n").unwrap();
        // A default that changes is a question where the device has changed it as well.
        let defaults = scratch.join("etc/default/raspi-firmware");
        let text = fs::read_to_string(&defaults).unwrap();
        fs::write(&defaults, text + "# newer\n").unwrap();
    }
    build(scratch, &repository.join(format!("{name}.deb")));
}

/// A kernel's package without the drivers that no machine of QEMU needs: much less work for an emulated device.
fn slimmer(kernel: &Path, scratch: &Path, repository: &Path) {
    let to = repository.join(kernel.file_name().unwrap());
    let Some(version) = kernel_version(kernel) else {
        fs::copy(kernel, to).unwrap();
        return;
    };
    tool("dpkg-deb", [Path::new("-R"), kernel, scratch]);
    let modules = ["lib/modules", "usr/lib/modules"]
        .map(|place| scratch.join(place).join(&version).join("kernel"))
        .into_iter()
        .find(|place| place.is_dir())
        .expect("a kernel has modules");
    for unused in [
        "sound",
        "drivers/gpu",
        "drivers/iio",
        "drivers/infiniband",
        "drivers/media",
        "drivers/net/wireless",
        "drivers/staging",
    ] {
        let directory = modules.join(unused);
        if directory.exists() {
            fs::remove_dir_all(directory).unwrap();
        }
    }
    let sums = scratch.join("DEBIAN/md5sums");
    let text = fs::read_to_string(&sums).unwrap();
    let there = |line: &&str| {
        line.split_once("  ")
            .is_some_and(|(_, path)| scratch.join(path).exists())
    };
    let kept: Vec<&str> = text.lines().filter(there).collect();
    fs::write(&sums, kept.join("\n") + "\n").unwrap();
    build(scratch, &to);
}

/// The version in the name of a kernel's package, as `uname -r` says it; `None` for a package that only depends on one.
fn kernel_version(package: &Path) -> Option<String> {
    let name = package.file_name()?.to_str()?.split('_').next()?;
    let version = name.strip_prefix("linux-image-")?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| version.to_owned())
}

/// A package that nobody has, which depends on one of the image.
fn new_package(scratch: &Path, repository: &Path) {
    let file = |path: &str, mode: u32, content: &str| {
        let path = scratch.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file(
        "DEBIAN/control",
        0o644,
        "Package: clic-new\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@localhost>\n\
         Depends: openssh-server\nDescription: New\n",
    );
    let script = "#!/bin/sh\nset -e\ngetent group clic-new || groupadd --system clic-new\n";
    file("DEBIAN/postinst", 0o755, script);
    file("usr/bin/clic-new", 0o755, "#!/bin/sh\necho new\n");
    build(scratch, &repository.join("clic-new.deb"));
}

fn build(from: &Path, to: &Path) {
    // An emulated device reads gzip quicker than it would read xz.
    let options = ["-Zgzip", "-z1", "--root-owner-group", "-b"].map(Path::new);
    tool("dpkg-deb", options.into_iter().chain([from, to]));
}

/// `Packages`, as dpkg-scanpackages(1) writes it.
fn index(repository: &Path) {
    let mut text = String::new();
    for entry in fs::read_dir(repository).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let control = tool("dpkg-deb", [Path::new("-f"), &path]);
        let (size, sum) = (path.metadata().unwrap().len(), sha256(&path));
        write!(
            text,
            "{control}Filename: ./{name}\nSize: {size}\nSHA256: {sum}\n\n"
        )
        .unwrap();
    }
    fs::write(repository.join("Packages"), text).unwrap();
}
