//! Templates and preseeds.

use crate::{OVERLAY, told};

#[test]
fn templates() {
    told(&[
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "a\n  {{ hotname }}",
            "overlays/base/files/etc/hostname:2:6: unknown parameter `hotname` in a template",
            "did you mean `hostname`? known here: `clients`",
        ),
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "a\n{{ hostname",
            "overlays/base/files/etc/hostname:",
            "",
        ),
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "a\n{{ hostname | nofilter }}",
            "overlays/base/files/etc/hostname:2:",
            "",
        ),
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "\n{{ board.nmae }}",
            "overlays/base/files/etc/hostname:2:",
            "board.name",
        ),
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "\n{% include '/etc/passwd' %}",
            "overlays/base/files/etc/hostname:2:",
            "",
        ),
        (
            OVERLAY,
            "select {{ locale }}",
            "select {{ local }}",
            "overlays/base/overlay.toml:5:13: unknown parameter `local` in a template",
            "did you mean `locale`?",
        ),
        (
            OVERLAY,
            "select {{ locale }}",
            "pick {{ locale }}",
            "overlays/base/overlay.toml:5:13: unknown type of debconf question `pick`",
            "`multiselect`",
        ),
        (
            OVERLAY,
            "locales/default select {{ locale }}",
            "locales/default boolean {{ locale }}",
            "overlays/base/overlay.toml:5:13: `locales/default` is answered by `true` or `false`, not by `fr_FR.UTF-8`",
            "write one of these",
        ),
        (
            OVERLAY,
            "locales locales/default select {{ locale }}",
            "",
            "overlays/base/overlay.toml:5:13: `` is not a preseed",
            "package question type value",
        ),
        (
            OVERLAY,
            "locales locales/default select {{ locale }}",
            "locales",
            "overlays/base/overlay.toml:5:13: `locales` is not a preseed",
            "package question type value",
        ),
        (
            OVERLAY,
            "locales locales/default select {{ locale }}",
            "a a/b note x\\nc c/d note y",
            "overlays/base/overlay.toml:5:13: a preseed is one line",
            "",
        ),
    ]);
}
