//! Icons: strokes on a grid of 24, drawn for this portal.

/// Name and SVG path data, sorted by name.
const ICONS: [(&str, &str); 34] = [
    ("arrow", "M5 12h14M13 6l6 6-6 6"),
    ("back", "M19 12H5M11 6l-6 6 6 6"),
    (
        "book",
        "M12 6c-2-1.6-5-2-8-2v14c3 0 6 .4 8 2 2-1.6 5-2 8-2V4c-3 0-6 .4-8 2zM12 6v14",
    ),
    ("box", "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8"),
    ("calendar", "M4 6h16v14H4zM4 10h16M8 3v4M16 3v4"),
    (
        "camera",
        "M4 8h4l2-3h4l2 3h4v11H4zM12 10a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4z",
    ),
    ("chat", "M4 5h16v11H10l-5 4v-4H4zM8 9h8M8 12h5"),
    ("check", "M5 13l4 4L19 7"),
    ("clock", "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2"),
    (
        "course",
        "M12 4L2 9l10 5 10-5zM6 11.5V16c3.5 3 8.5 3 12 0v-4.5M22 9v6",
    ),
    ("download", "M12 4v11M7 11l5 5 5-5M5 20h14"),
    ("files", "M7 3h7l5 5v13H7zM14 3v5h5M10 13h6M10 17h6"),
    ("film", "M4 5h16v14H4zM10 9l5 3-5 3z"),
    (
        "game",
        "M8 8h8a5 5 0 0 1 5 5c0 5-3 5-5 2H8c-2 3-5 3-5-2a5 5 0 0 1 5-5zM8 10.5v3M6.5 12h3M16 11v.01M18 13v.01",
    ),
    ("gauge", "M4 17a8 8 0 1 1 16 0M12 17l4-6M4 20h16"),
    (
        "globe",
        "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c-5 5-5 13 0 18M12 3c5 5 5 13 0 18",
    ),
    (
        "heart",
        "M12 20S4 15 4 9.5A4 4 0 0 1 12 8a4 4 0 0 1 8 1.5C20 15 12 20 12 20z",
    ),
    ("home", "M4 11l8-7 8 7v9h-5v-6H9v6H4z"),
    ("info", "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v6M12 7.5v.01"),
    ("key", "M8 11a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM11 12l8-8M16 7l3 3"),
    ("leaf", "M5 19C4 10 10 5 20 4c0 10-5 16-14 14M5 19c2-5 5-7 9-9"),
    ("mail", "M3 6h18v12H3zM3 7l9 7 9-7"),
    ("map", "M3 6l6-2 6 2 6-2v14l-6 2-6-2-6 2zM9 4v14M15 6v14"),
    (
        "music",
        "M9 18V6l10-2v12M6.5 15.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM16.5 13.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
    ),
    ("open", "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6"),
    ("pencil", "M4 20l1-5L16 4l4 4L9 19zM13 7l4 4"),
    (
        "people",
        "M9 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM2.5 20c0-8 13-8 13 0M16 5.5a3.5 3.5 0 0 1 0 6.5M18 14.5c2.5.5 3.5 2.5 3.5 5.5",
    ),
    ("poll", "M4 20h16M7 20v-6M12 20V6M17 20v-9"),
    ("search", "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5"),
    (
        "sun",
        "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.5 1.5M17.5 17.5L19 19M19 5l-1.5 1.5M6.5 17.5L5 19",
    ),
    (
        "tools",
        "M14 7a4 4 0 0 1 5-4l-2.5 3 1.5 1.5 3-2.5a4 4 0 0 1-5 5L7 19l-3-3z",
    ),
    (
        "wifi",
        "M2.5 9.5c5.5-5 13.5-5 19 0M6 13.5c3.5-3 8.5-3 12 0M9.5 17c1.5-1.200 3.5-1.200 5 0M12 20v.01",
    ),
    ("wiki", "M5 4h14v16H5zM9 4v16M12 9h4M12 13h4"),
    ("word", "M6 4h12M12 4v16M9 20h6"),
];

/// Names of all icons.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ICONS.iter().map(|(name, _)| *name)
}

/// Path data of an icon.
pub(crate) fn drawing(name: &str) -> Option<&'static str> {
    ICONS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, path)| *path)
}

/// An icon as inline SVG. It never carries a meaning that the text beside it does not.
pub(crate) fn svg(name: &str) -> Option<String> {
    drawing(name).map(|path| {
        format!("<svg class=\"i\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"{path}\"/></svg>")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_by_name_and_only_path_data() {
        assert!(ICONS.is_sorted_by_key(|(name, _)| *name));
        for (name, path) in ICONS {
            let data = |byte: u8| b"MmLlHhVvCcSsAaZz0123456789.- ".contains(&byte);
            assert!(path.starts_with('M') && path.bytes().all(data), "{name}");
        }
    }
}
