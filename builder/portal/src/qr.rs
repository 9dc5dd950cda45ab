//! QR codes as inline SVG, and the text that makes a phone join a wifi.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

use crate::site::{Hotspot, Security};

/// Light border that scanners need, in modules (ISO/IEC 18004).
const QUIET: i32 = 4;

/// What a phone's camera takes for a wifi to join, as Android and iOS read it:
/// `WIFI:T:WPA;S:name;P:passphrase;H:true;;`. `None` if the name or the passphrase is not known here.
pub(crate) fn wifi(hotspot: &Hotspot) -> Option<String> {
    if hotspot.ssid_suffix {
        return None;
    }
    let ssid = quote(&hotspot.ssid);
    let hidden = if hotspot.hidden { "H:true;" } else { "" };
    match (hotspot.security, &hotspot.passphrase) {
        (Security::Open, _) => Some(format!("WIFI:T:nopass;S:{ssid};{hidden};")),
        (Security::Wpa, Some(passphrase)) => {
            Some(format!("WIFI:T:WPA;S:{ssid};P:{};{hidden};", quote(passphrase)))
        }
        (Security::Wpa, None) => None,
    }
}

/// Characters that mean something in such a text get a backslash.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '\\' | ';' | ',' | ':' | '"') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted
}

/// A drawing of the code: dark on light also on a dark page, because not every scanner reads the inverse.
/// `None` if the text is longer than a code of this kind takes.
pub(crate) fn svg(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size();
    let whole = size + 2 * QUIET;
    let mut path = String::new();
    for y in 0..size {
        let mut x = 0;
        while x < size {
            let start = x;
            while x < size && code.get_module(x, y) {
                x += 1;
            }
            if x > start {
                let _ = write!(
                    path,
                    "M{} {}h{}v1H{}z",
                    start + QUIET,
                    y + QUIET,
                    x - start,
                    start + QUIET
                );
            }
            x += 1;
        }
    }
    Some(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {whole} {whole}\" shape-rendering=\"crispEdges\" aria-hidden=\"true\">\
         <path fill=\"#fff\" d=\"M0 0h{whole}v{whole}H0z\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hotspot() -> Hotspot {
        Hotspot {
            ssid: "CLIC; \"été\"".to_owned(),
            ssid_suffix: false,
            hidden: true,
            security: Security::Wpa,
            passphrase: Some("a\\b:c,d12".to_owned()),
            domain: "clic.internal".to_owned(),
            address: [10, 42, 0, 1].into(),
        }
    }

    #[test]
    fn wifi_texts() {
        let mut hotspot = hotspot();
        assert_eq!(
            wifi(&hotspot).as_deref(),
            Some(r#"WIFI:T:WPA;S:CLIC\; \"été\";P:a\\b\:c\,d12;H:true;;"#)
        );
        hotspot.passphrase = None;
        assert_eq!(wifi(&hotspot), None);
        hotspot.security = Security::Open;
        hotspot.hidden = false;
        assert_eq!(
            wifi(&hotspot).as_deref(),
            Some(r#"WIFI:T:nopass;S:CLIC\; \"été\";;"#)
        );
        hotspot.ssid_suffix = true;
        assert_eq!(wifi(&hotspot), None);
    }

    #[test]
    fn every_dark_module_is_drawn_once() {
        let text = "http://clic.internal/";
        let drawing = svg(text).unwrap();
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).unwrap();
        let dark = (0..code.size())
            .flat_map(|y| (0..code.size()).map(move |x| (x, y)))
            .filter(|&(x, y)| code.get_module(x, y))
            .count();
        let drawn: usize = drawing
            .split('h')
            .filter_map(|run| run.split_once("v1H")?.0.parse::<usize>().ok())
            .sum();
        assert_eq!(drawn, dark);
        assert!(svg(&"x".repeat(4000)).is_none());
    }
}
