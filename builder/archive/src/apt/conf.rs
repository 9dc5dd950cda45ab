//! apt.conf(5): the private apt's configuration, and what it takes from the host's.

use std::path::Path;

/// The private configuration. `ways` are the host's lines: the mirror is the host's choice, and so is how to
/// reach it (proxies, logins, certificates, time-outs).
pub(super) fn configuration(dir: &Path, archs: &[&str], ways: &str) -> String {
    let dir = dir.display();
    let list: String = archs.iter().map(|arch| format!(" \"{arch}\";")).collect();
    format!(
        r#"Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
{ways}Acquire::Languages "none";
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
"#,
        first = archs.first().copied().unwrap_or_default(),
    )
}
