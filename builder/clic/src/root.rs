//! Never root (invariant 1): what root builds belongs to root, and a mistake of root's is everybody's.

use anyhow::Result;
use clic_host::UserError;

use crate::args::Command;

/// Set to `1`, it lets root in: for containers in which there is nobody else.
const ALLOW: &str = "CLIC_ALLOW_ROOT";

/// Refuses real root, for all commands that do anything.
pub fn refuse(command: &Command) -> Result<()> {
    let harmless = matches!(
        command,
        Command::Doctor | Command::Man(_) | Command::Completions(_)
    );
    // Where there is no such file, there are no namespaces either.
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let root = rustix::process::geteuid().is_root() && !in_namespace(&map);
    let allowed = std::env::var_os(ALLOW).is_some_and(|value| value == "1");
    if harmless || !root || allowed {
        return Ok(());
    }
    Err(refused().into())
}

/// Root of a namespace of one's own is an ordinary user to everybody else (`user_namespaces(7)`).
fn in_namespace(map: &str) -> bool {
    let words: Vec<&str> = map.split_whitespace().collect();
    !words.is_empty() && words != ["0", "0", "4294967295"]
}

fn refused() -> UserError {
    UserError::new("clic does not run as root: nothing in it needs root, and its files would belong to root").help(format!(
        "run it as an ordinary user; `adduser --disabled-password clic` makes one, and `runuser -u clic -- clic ...` runs it as \
         that. In a container where only root exists, set {ALLOW}=1"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_a_namespace_is_an_ordinary_user() {
        assert!(!in_namespace("         0          0 4294967295\n"));
        assert!(!in_namespace(""));
        assert!(in_namespace("         0       1000          1\n"));
        assert!(in_namespace("0 1000 1\n1 100000 65536\n"));
    }

    #[test]
    fn the_refusal_says_what_to_do_instead() {
        let said = refused().to_string();
        for wanted in [
            "does not run as root",
            "\n  help: run it as an ordinary user",
            "adduser",
            "CLIC_ALLOW_ROOT=1",
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }
}
