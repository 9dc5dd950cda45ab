//! The programs that builds and tests start: whether they are there.

use clic_engine::tools::{TOOLS, Tool};
use clic_host::process::find;

use super::{Finding, install};

pub(super) fn look(findings: &mut Vec<Finding>) {
    findings.extend(TOOLS.iter().map(look_at));
}

fn look_at(tool: &Tool) -> Finding {
    let id = format!("tool-{}", tool.program);
    match find(tool.program) {
        Some(path) => Finding::good(
            &id,
            tool.program,
            format!("{} ({})", tool.version(&path), tool.role),
        ),
        None => Finding::missing(
            &id,
            tool.program,
            format!("not found; it {}", tool.role),
            install(&[tool.package]),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_comes_with_the_command_that_brings_it() {
        let tool = Tool {
            program: "no-such-tool",
            package: "some-package",
            version: &[],
            role: "does things",
        };
        let finding = look_at(&tool);
        assert_eq!(finding.state, crate::doctor::State::Missing);
        assert_eq!(finding.detail, "not found; it does things");
        assert_eq!(
            finding.fix.as_deref(),
            Some("sudo apt-get install --yes --no-install-recommends some-package")
        );
    }
}
