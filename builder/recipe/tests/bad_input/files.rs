//! What overlays bring: paths, links, and who brings what.

use crate::testtree::TestTree;
use crate::{OVERLAY, RECIPE, told};

#[test]
fn files() {
    told(&[
        (
            OVERLAY,
            "path = \"/etc/hostname\"",
            "path = \"/etc/hostnam\"",
            "overlays/base/overlay.toml:27:8: there is no file overlays/base/files/etc/hostnam",
            "did you mean `/etc/hostname`?",
        ),
        (
            OVERLAY,
            "path = \"/etc/hostname\"",
            "path = \"etc/hostname\"",
            "overlays/base/overlay.toml:27:8: `etc/hostname` must be an absolute path",
            "",
        ),
        (
            OVERLAY,
            "path = \"/etc/hostname\"",
            "path = \"/etc/../hostname\"",
            "overlays/base/overlay.toml:27:8: `/etc/../hostname` must be written without `.`, `..`",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "source = \"../../recipes/minimal.toml\"",
            "overlays/base/overlay.toml:28:10: `../../recipes/minimal.toml` leaves the overlay's directory",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "source = \"/etc/passwd\"",
            "overlays/base/overlay.toml:28:10: `/etc/passwd` leaves the overlay's directory",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "source = \"files/nothing\"",
            "overlays/base/overlay.toml:28:10: there is no file overlays/base/files/nothing",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "mode = \"rw-r--r--\"",
            "overlays/base/overlay.toml:28:8: `rw-r--r--` is not a mode",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "owner = \"Root\"",
            "overlays/base/overlay.toml:28:9: `Root` can't be the name of a user or group",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "mode = \"0644\"\n[[file]]\npath = \"/etc/hostname\"",
            "overlays/base/overlay.toml:30:8: /etc/hostname has two [[file]] entries",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "[[link]]\npath = \"/lib/x\"\ntarget = \"y\"",
            "overlays/base/overlay.toml:29:8: `/lib` is a link to `/usr/lib` in Debian; write `/usr/lib/x`",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "[[directory]]\npath = \"/etc/machine-id\"",
            "overlays/base/overlay.toml:29:8: `/etc/machine-id` is written by clic itself",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "[[link]]\npath = \"/etc/../../x\"\ntarget = \"y\"",
            "overlays/base/overlay.toml:29:8: `/etc/../../x` must be written without `.`, `..`",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "template = true\n[[link]]\npath = \"/etc/motd/x\"\ntarget = \"y\"",
            "overlays/base/overlay.toml:30:8: overlay `base` brings /etc/motd/x below /etc/motd, which is not a directory",
            "overlays/base/files/etc/motd",
        ),
    ]);
}

#[test]
fn links_and_special_files_are_refused() {
    let tree = TestTree::new();
    std::os::unix::fs::symlink("/etc/passwd", tree.path("overlays/base/files/etc/passwd")).unwrap();
    std::os::unix::net::UnixListener::bind(tree.path("overlays/base/files/etc/socket")).unwrap();
    let said = tree.complaints();
    assert!(
        said.contains(
            "overlays/base/files/etc/passwd: is a symbolic link; only regular files are taken\n  help: remove it and write \
             in overlay.toml: [[link]] path = \"/etc/passwd\", target = \"/etc/passwd\""
        ),
        "{said}"
    );
    assert!(
        said.contains("overlays/base/files/etc/socket: is neither a file nor a directory"),
        "{said}"
    );

    let tree = TestTree::new();
    std::os::unix::fs::symlink("/etc", tree.path("overlays/base/outside")).unwrap();
    tree.edit(OVERLAY, "template = true", "source = \"outside/passwd\"");
    let said = tree.complaints();
    assert!(
        said.contains("overlays/base/overlay.toml:28:10: overlays/base/outside is a symbolic link"),
        "{said}"
    );

    let tree = TestTree::new();
    std::fs::rename(tree.path("overlays/base/files"), tree.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere", tree.path("overlays/base/files")).unwrap();
    let said = tree.complaints();
    assert!(
        said.contains("overlays/base/files: is a symbolic link, which could leave the tree"),
        "{said}"
    );
}

#[test]
fn two_overlays_can_not_write_one_path() {
    let tree = TestTree::new();
    tree.edit(RECIPE, "[\"base\"]", "[\"base\", \"portal\"]");
    tree.overlay("portal", "[[unit]]\nname = \"ssh.service\"\nstate = \"masked\"\n");
    tree.write("overlays/portal/files/etc/motd", "portal\n");
    tree.write("overlays/portal/files/etc/hostname/x", "portal\n");
    let said = tree.complaints();
    for wanted in [
        "overlays/portal/files/etc/motd: overlays `base` and `portal` both bring /etc/motd\n  help: the other one is overlays/base/files/etc/motd",
        "overlays/portal/files/etc/hostname/x: overlay `portal` brings /etc/hostname/x below /etc/hostname, which overlay `base` brings and which is not a directory\n  help: the other one is overlays/base/overlay.toml:27:8",
        "overlays/portal/overlay.toml:5:8: overlays `base` and `portal` disagree about unit `ssh.service`\n  help: the other one is at overlays/base/overlay.toml:31:8",
    ] {
        assert!(said.contains(wanted), "wanted: {wanted}\nsaid: {said}");
    }
}

#[test]
fn one_overlay_can_not_write_one_path_twice() {
    let tree = TestTree::new();
    tree.append(
        OVERLAY,
        "[[link]]\npath = \"/etc/motd\"\ntarget = \"/run/motd\"\n",
    );
    let said = tree.complaints();
    assert!(
        said.contains("overlay `base` brings /etc/motd twice\n  help: the other one is overlays/base/"),
        "{said}"
    );
}

#[test]
fn overlays_come_after_what_they_require() {
    let tree = TestTree::new();
    tree.overlay("portal", "requires = [\"base\"]\n");
    tree.edit(RECIPE, "[\"base\"]", "[\"portal\", \"base\"]");
    let said = tree.complaints();
    assert!(
        said.contains("recipes/minimal.toml:5:13: overlay `portal` needs `base` before it\n  help: write `overlays = [\"base\", \"portal\"]`"),
        "{said}"
    );
}

#[test]
fn braces_that_nothing_fills_in_are_told() {
    let tree = TestTree::new();
    let plain = "overlays/base/files/etc/issue";
    // Of the device's own template languages.
    tree.write(
        "overlays/base/files/usr/share/tell/templates/page.html",
        "<h1>{{ hostname }}</h1>\n",
    );
    for text in [
        "{{ name }}",
        "{{hostname.local}}",
        "{{ hostname",
        "{% if hostname %}{% endif %}",
        "{ hostname }",
    ] {
        tree.write(plain, text);
        tree.plan();
    }
    for text in ["{{ hostname }}", "{{hostname}}", "{{- hostname | upper -}}"] {
        tree.write(plain, &format!("{{{{ other }}}} {text}\n"));
        assert_eq!(
            tree.complaints(),
            "overlays/base/files/etc/issue: /etc/issue has `{{ hostname }}`, which nothing fills in\n  help: write in \
             overlay.toml:\n[[file]]\npath = \"/etc/issue\"\ntemplate = true\nor `template = false`, if the braces are meant for \
             the device",
            "{text}"
        );
    }
    tree.append(OVERLAY, "\n[[file]]\npath = \"/etc/issue\"\ntemplate = false\n");
    tree.plan();
}

#[test]
fn programs_that_nothing_can_run_are_told() {
    let said = |tree: &TestTree, path: &str, why: &str| {
        assert_eq!(
            tree.complaints(),
            format!(
                "overlays/base/files{path}: {path} can't be run: its mode is 0644\n  help: {why}; write in overlay.toml:\n[[file]]\n\
                 path = \"{path}\"\nmode = \"0755\""
            )
        );
    };
    for path in [
        "/usr/bin/tell",
        "/usr/local/sbin/tell",
        "/etc/cron.daily/tell",
        "/etc/network/if-up.d/tell",
        "/usr/lib/systemd/system-generators/tell",
    ] {
        let tree = TestTree::new();
        tree.write(&format!("overlays/base/files{path}"), "#!/bin/sh\n");
        let directory = path.rsplit_once('/').unwrap().0;
        said(&tree, path, &format!("what is in {directory} is run"));
        tree.append(
            OVERLAY,
            &format!("\n[[file]]\npath = {path:?}\nmode = \"0700\"\n"),
        );
        tree.plan();
    }
    let (script, unit) = ("/usr/lib/tell", "/usr/lib/systemd/system/tell.service");
    for line in [
        "ExecStart=/usr/lib/tell --now",
        "ExecStartPre=-+/usr/lib/tell",
        "ExecStop = @!/lib/tell tell",
        "ExecReload=:\"/usr/lib/tell\"",
    ] {
        let tree = TestTree::new();
        tree.write(&format!("overlays/base/files{script}"), "#!/bin/sh\n");
        // Data of that name, and a program that somebody else starts with it.
        tree.write(
            &format!("overlays/base/files{unit}"),
            "[Service]\nExecStart=/usr/bin/python3 /usr/lib/tell\n",
        );
        tree.plan();
        tree.write(
            &format!("overlays/base/files{unit}"),
            &format!("[Service]\n{line}\n"),
        );
        said(&tree, script, &format!("{unit} starts it"));
    }
    for (entry, why) in [
        (
            "[[check]]\nname = \"it tells\"\ncommand = \"/usr/lib/tell --check\"\n",
            "the check `it tells` runs it",
        ),
        (
            "[[bake]]\nname = \"it tells\"\ncommand = \"/usr/lib/tell\\nsync\"\n",
            "the bake `it tells` runs it",
        ),
    ] {
        let tree = TestTree::new();
        tree.write(&format!("overlays/base/files{script}"), "#!/bin/sh\n");
        tree.append(OVERLAY, &format!("\n{entry}"));
        said(&tree, script, why);
    }
}
