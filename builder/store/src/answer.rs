//! What a server's answer says of the file in it, and how long it may take.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use ureq::ResponseExt as _;
use ureq::http::{Response, Uri};

/// Least bytes of each minute, or the connection is given up, too (and tried again). A modem of the last century brings fifty
/// times as many; a server that sends one now and then would be waited for without end.
const LEAST: u64 = 6_000;
const MINUTE: Duration = Duration::from_secs(60);
/// Codings of what comes (RFC 9110, section 8.4.1) in which it is not the file itself. What else servers write there changes
/// nothing.
const CODINGS: [&str; 7] = [
    "gzip",
    "x-gzip",
    "deflate",
    "br",
    "zstd",
    "compress",
    "x-compress",
];
/// What a server did to the file before it sent it.
pub(crate) fn coding(response: &Response<ureq::Body>) -> Option<String> {
    let said = response.headers().get_all("Content-Encoding");
    let said = said.iter().filter_map(|value| value.to_str().ok());
    let all: Vec<String> = said.map(str::to_ascii_lowercase).collect();
    let known = |text: &String| text.split(',').any(|one| CODINGS.contains(&one.trim()));
    all.into_iter().find(known)
}

/// A source that has to go on at some pace.
pub(crate) struct Paced<R> {
    source: R,
    pace: Pace,
}

impl<R> Paced<R> {
    pub fn new(source: R) -> Self {
        Self {
            source,
            pace: Pace::begun(Instant::now()),
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        if read > 0 && !self.pace.goes_on(Instant::now(), read) {
            let what = format!("less than {LEAST} bytes came in a minute");
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        Ok(read)
    }
}

/// What came in the present minute.
struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn begun(since: Instant) -> Self {
        Self { since, bytes: 0 }
    }

    /// Whether that is enough, now that so many more bytes have come.
    fn goes_on(&mut self, now: Instant, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        if now.saturating_duration_since(self.since) < MINUTE {
            return true;
        }
        let enough = self.bytes >= LEAST;
        *self = Self::begun(now);
        enough
    }
}

/// The address without encryption that an encrypted one led to, if it did: from there on anybody on the way can put another
/// file in place of this one.
pub(crate) fn downgraded(response: &Response<ureq::Body>) -> Option<String> {
    left_encryption(response.get_redirect_history()?)
}

fn left_encryption(history: &[Uri]) -> Option<String> {
    let secure = |uri: &Uri| uri.scheme_str() == Some("https");
    let mut after = history.iter().skip_while(|uri| !secure(uri));
    after.find(|uri| !secure(uri)).map(ToString::to_string)
}

/// What the server calls the file, as browsers see it: the name in `Content-Disposition` (RFC 6266), else the last part of the
/// address that led there in the end, decoded. `None`: nothing of that can be a name.
pub(crate) fn offered_name(response: &Response<ureq::Body>, asked: &str) -> Option<String> {
    let header = response.headers().get("Content-Disposition");
    let disposition = header.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(name) = disposition.as_deref().and_then(in_disposition) {
        return Some(name);
    }
    let mut names = [name_of(&response.get_uri().to_string()), name_of(asked)]
        .into_iter()
        .flatten();
    let first = names.next();
    // `get.php?id=3` says less than the name that somebody asked for; one without an ending says nothing.
    match &first {
        Some(name) if name.contains('.') => first,
        _ => names.find(|name| name.contains('.')).or(first),
    }
}

/// The name of a file at an address: its last part, decoded as browsers do.
fn name_of(url: &str) -> Option<String> {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let path = plain.split_once("://").map_or(plain, |(_, rest)| rest);
    let (_, last) = path.rsplit_once('/')?;
    bare(&decoded(last))
}

/// An address as it is asked for: what people type into a browser, with blanks and accents in its path encoded, and its scheme
/// in lower case (RFC 3986, section 3.1).
pub fn encoded(address: &str) -> String {
    const NOT_IN_ADDRESSES: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}')
        .add(b'\\')
        .add(b'^');
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = utf8_percent_encode(path, NOT_IN_ADDRESSES);
    format!("{}://{host}{path}", scheme.to_ascii_lowercase())
}

/// Percent-decoded, where that gives a text.
fn decoded(text: &str) -> String {
    let found = percent_decode_str(text).decode_utf8();
    found.map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

/// The name in a `Content-Disposition`: `filename*` before `filename`.
fn in_disposition(header: &str) -> Option<String> {
    let mut plain = None;
    for (key, value) in parameters(header) {
        match key.to_ascii_lowercase().as_str() {
            "filename*" => {
                let (charset, rest) = value.split_once('\'')?;
                let (_, name) = rest.split_once('\'')?;
                let bytes: Vec<u8> = percent_decode_str(name).collect();
                let text = if charset.eq_ignore_ascii_case("iso-8859-1") {
                    bytes.iter().map(|byte| char::from(*byte)).collect()
                } else {
                    String::from_utf8_lossy(&bytes).into_owned()
                };
                return bare(&text);
            }
            "filename" => plain = Some(decoded(&value)),
            _ => {}
        }
    }
    bare(&plain?)
}

/// The parameters of a header: `attachment; filename="a \"b\".pdf"`.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut part = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in header.chars().chain([';']) {
        match c {
            _ if escaped => {
                part.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                if let Some((key, value)) = part.split_once('=') {
                    found.push((key.trim().to_owned(), value.trim().to_owned()));
                }
                part.clear();
            }
            _ => part.push(c),
        }
    }
    found
}

/// What of a text can be a name: nothing before a slash of either kind, no control characters, not hidden.
fn bare(text: &str) -> Option<String> {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !c.is_control()).collect();
    let name = plain.trim_start_matches('.').trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
