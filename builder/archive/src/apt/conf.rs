//! apt.conf(5): the private apt's configuration, and what it takes from the host's.

use std::path::Path;

use clic_host::Cmd;
use clic_store::Proxy;

/// The private configuration. `acquire` are the host's lines: the mirror is the host's choice, and so is how to
/// reach it (proxies, certificates, time-outs).
pub(super) fn configuration(dir: &Path, archs: &[&str], acquire: &str) -> String {
    let dir = dir.display();
    let list: String = archs.iter().map(|arch| format!(" \"{arch}\";")).collect();
    format!(
        r#"Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
{acquire}Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::GzipIndexes "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Update::Error-Mode "any";
APT::Architecture "{first}";
APT::Architectures {{{list} }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Dir "{dir}";
Dir::State "{dir}/state";
Dir::State::status "{dir}/status";
Dir::State::lists "{dir}/lists";
Dir::Cache "{dir}/cache";
Dir::Log "{dir}/log";
Dir::Etc "{dir}/etc";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::Etc::preferences "{dir}/preferences";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
"#,
        first = archs.first().copied().unwrap_or_default(),
    )
}

/// What the host's administrator said about reaching mirrors. Nothing that weakens the check of signatures.
pub(super) fn host_acquire() -> String {
    let dump = Cmd::new("apt-config")
        .clean_env()
        .args(["dump", "Acquire"])
        .output()
        .unwrap_or_default();
    acquire_lines(&String::from_utf8_lossy(&dump))
}

fn acquire_lines(dump: &str) -> String {
    const NOT_THESE: [&str; 10] = [
        "Acquire::AllowInsecureRepositories",
        "Acquire::AllowWeakRepositories",
        "Acquire::AllowDowngradeToInsecureRepositories",
        "Acquire::IndexTargets",
        "Acquire::Changelogs",
        "Acquire::CompressionTypes",
        "Acquire::GzipIndexes",
        "Acquire::Languages",
        "Acquire::cdrom",
        // Its options can make gpgv take what it would refuse.
        "Acquire::gpgv",
    ];
    let wanted = |line: &&str| {
        let name = line.split([' ', '"']).next().unwrap_or("");
        let under = |group: &&str| {
            name.get(..group.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(group))
                && matches!(name.get(group.len()..), Some(rest) if rest.is_empty() || rest.starts_with("::"))
        };
        name.starts_with("Acquire::") && !NOT_THESE.iter().any(under) && !line.ends_with(" \"\";")
    };
    dump.lines()
        .filter(wanted)
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The proxies that the host's apt uses, for our own downloads: for http, then for https.
pub fn host_proxies() -> [Proxy; 2] {
    let get = |key: &str| -> Proxy {
        let value = Cmd::new("apt-config")
            .clean_env()
            .args(["shell", "V", key])
            .output()
            .unwrap_or_default();
        let value = String::from_utf8_lossy(&value);
        match value
            .trim()
            .strip_prefix("V='")
            .and_then(|value| value.strip_suffix('\''))
        {
            None | Some("") => Proxy::Environment,
            Some("DIRECT") => Proxy::Direct,
            Some(url) => Proxy::Url(url.to_owned()),
        }
    };
    let http = get("Acquire::http::Proxy");
    // apt's https method falls back to the proxy for http.
    let https = match get("Acquire::https::Proxy") {
        Proxy::Environment => http.clone(),
        other => other,
    };
    [http, https]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_way_to_mirrors_is_kept_but_not_what_weakens_signatures() {
        let dump = "Acquire \"\";\nAcquire::AllowInsecureRepositories \"1\";\nacquire::http \"\";\nAcquire::http::Proxy \"http://p:3128\";\n\
                    Acquire::Check-Valid-Until \"false\";\nAcquire::IndexTargets::deb::Packages::Optional \"0\";\nAcquire::Languages:: \"none\";\n\
                    Acquire::allowweakrepositories \"1\";\nAcquire::gpgv::Options:: \"--ignore-time-conflict\";\nDir \"/\";\n";
        assert_eq!(
            acquire_lines(dump),
            "Acquire::http::Proxy \"http://p:3128\";\nAcquire::Check-Valid-Until \"false\";\n"
        );
    }
}
