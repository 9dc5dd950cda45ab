//! `[[check]]`: exactly one probe, and what belongs to it.

use crate::{OVERLAY, told};

#[test]
fn checks() {
    told(&[
        (
            OVERLAY,
            "port = 22",
            "port = 22\nunit = \"ssh.service\"",
            "overlays/base/overlay.toml:35:8: a check has exactly one of `command`, `unit`, `port`, `file`, `http`; this has `unit`, `port`",
            "two checks",
        ),
        (
            OVERLAY,
            "port = 22\ncontains = \"SSH-2.0\"",
            "",
            "overlays/base/overlay.toml:35:8: a check has exactly one of `command`, `unit`, `port`, `file`, `http`; this has none",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "unit = \"ssh.service\"",
            "overlays/base/overlay.toml:37:12: `contains` has no meaning for a check of kind `unit`",
            "it belongs to `command`, `port`, `file`",
        ),
        (
            OVERLAY,
            "port = 22",
            "http = { path = \"/\" }",
            "overlays/base/overlay.toml:37:12: `contains` has no meaning for a check of kind `http`",
            "write it inside",
        ),
        (
            OVERLAY,
            "port = 22\ncontains = \"SSH-2.0\"",
            "http = { path = \"x\" }",
            "overlays/base/overlay.toml:36:17: an HTTP path starts with a slash",
            "",
        ),
        (
            OVERLAY,
            "port = 22\ncontains = \"SSH-2.0\"",
            "http = { path = \"/\", status = 99 }",
            "overlays/base/overlay.toml:36:8: 99 is not an HTTP status",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "port = 0",
            "overlays/base/overlay.toml:36:8: port 0 can't be connected to",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "file = \"etc/x\"",
            "overlays/base/overlay.toml:36:8: this must be an absolute path",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "port = 22\ntimeout-seconds = 0",
            "overlays/base/overlay.toml:37:19: 0 seconds is not a sensible timeout",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "port = 22\nexit = 1",
            "overlays/base/overlay.toml:37:8: `exit` has no meaning for a check of kind `port`",
            "it belongs to `command`",
        ),
    ]);
}
