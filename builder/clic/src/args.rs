//! The command line as people type it.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Said once, at the end of `clic --help` and of its man page.
const AFTER_HELP: &str = "\
Examples:
  clic doctor                               is this machine ready?
  clic build minimal --board x86-pc         out/minimal-x86-pc.img
  clic test out/minimal-x86-pc.img          boot it in QEMU and test it
  clic inspect out/minimal-x86-pc.img /etc/os-release

Sizes are decimal: 1 MB is 1000000 bytes. Partition offsets are in sectors of 512 bytes.
In recipes and boards, K, M and G are powers of 1024.

Exit codes:
  0    done
  1    the work failed (a download, a build, a boot test)
  2    the request was wrong (a typo, a missing file, an unknown board)
  130  stopped by Ctrl-C or another signal

Environment:
  CLIC_CACHE                  where the store is (else $XDG_CACHE_HOME/clic, else ~/.cache/clic)
  CLIC_DEBIAN_MIRROR          Debian mirror (else --mirror, else this machine's own apt sources)
  CLIC_LOG                    what to trace on standard error, e.g. clic_rootfs=debug
  SOURCE_DATE_EPOCH           latest time of any file, in seconds since 1970 (else the archive's date)
  NO_COLOR                    no colours
  CLIC_ALLOW_ROOT=1           run as root, in a container where there is nobody else";

/// Builds bootable images of community servers from recipes, tests them in QEMU, and never needs root.
#[derive(Debug, Parser)]
#[command(name = "clic", version, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Tree that holds recipes/, boards/, overlays/ and content-bundles/ [default: the current directory or its nearest parent
    /// that has them]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub root: Option<PathBuf>,
    /// Print JSON on standard output: one object, or one object per line for long work
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print only results and errors
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Global options"
    )]
    pub quiet: bool,
    /// Print more (-vv: even more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    pub color: ColorWhen,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Even into a pipe
    Always,
    /// Never
    Never,
}

/// The subcommands, in the order of a working day.
#[derive(Debug, Subcommand)]
pub enum Command {
    Build(crate::build::Args),
    Check(crate::check::Args),
    Plan(crate::plan::Args),
    Lock(crate::lock::Args),
    Test(crate::test::Args),
    Inspect(crate::inspect::Args),
    Diff(crate::diff::Args),
    /// List the boards that images can be built for
    Boards,
    /// List the recipes of the tree
    Recipes,
    Overlays(crate::overlays::Args),
    Content(crate::content::Args),
    Cache(crate::cache::Args),
    /// Check whether this machine is ready to build and test, and how to make it ready
    ///
    /// Each problem is shown with the command that fixes it. Exits 1 if something needed is missing.
    Doctor,
    Completions(crate::completions::Args),
    Man(crate::man::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn clap_finds_no_contradiction() {
        super::Args::command().debug_assert();
    }
}
