//! Addresses of archives.

/// Without the user name and password that an address may carry: for what ends up in an image.
pub fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.into();
    };
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    path.map_or_else(
        || format!("{scheme}://{host}"),
        |path| format!("{scheme}://{host}/{path}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_stay_on_the_build_host() {
        assert_eq!(
            without_login("https://me:secret@mirror.example:8/debian/x@y"),
            "https://mirror.example:8/debian/x@y"
        );
        assert_eq!(without_login("http://mirror.example"), "http://mirror.example");
        assert_eq!(without_login("file:/srv/debian"), "file:/srv/debian");
    }
}
