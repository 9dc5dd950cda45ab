//! This very program, also when another one has its name by now.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clic_store::space::io_error;

/// What runs, whatever has become of its file (`proc_pid_exe(5)`). It can be read, and started by this process alone.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// A copy of this program in `dir`, for others to start: a build goes on with what it began with when it is replaced meanwhile.
pub fn own_program(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("clic");
    if !path.exists() {
        let made = std::fs::copy(OWN_PROGRAM, &path);
        made.and_then(|_| std::fs::set_permissions(&path, Permissions::from_mode(0o755)))
            .map_err(|error| io_error(error, &path))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clic_host::Sha256;

    use super::*;

    const CHILD: &str = "CLIC_TEST_REPLACED";

    /// Not a test by itself: what [`a_replaced_program_starts_itself`] runs.
    #[test]
    fn replaced() {
        let Some(dir) = std::env::var_os(CHILD) else {
            return;
        };
        let (name, dir) = (std::env::current_exe().unwrap(), PathBuf::from(dir));
        std::fs::remove_file(&name).unwrap();
        std::fs::write(&name, "another one").unwrap();
        let own = own_program(&dir).unwrap();
        assert_eq!(own_program(&dir).unwrap(), own, "it is copied once");
        let listed = Command::new(&own).arg("--list").output().unwrap();
        assert!(String::from_utf8_lossy(&listed.stdout).contains("own::tests::replaced: test"));
        std::fs::write(dir.join("sha256"), Sha256::of_file(&own).unwrap().to_string()).unwrap();
    }

    #[test]
    fn a_replaced_program_starts_itself() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let status = Command::new(&program)
            .args(["--exact", "own::tests::replaced"])
            .env(CHILD, dir.path())
            .status()
            .unwrap();
        assert!(status.success());
        let hash = Sha256::of_file(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("sha256")).unwrap(),
            hash.to_string()
        );
    }
}
