//! What every command shares: how to speak, and which tree is meant.

use std::io::{IsTerminal, stderr, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clic_host::{Progress, Sink};
use clic_recipe::{Report, Tree};
use clic_rootfs::Sandbox;
use clic_store::Store;

use crate::args::{ColorWhen, Global};
use crate::output::{self, Style};
use crate::progress::{Bars, JsonLines, Lines, Quiet};

/// The global options, made sense of.
pub struct Context {
    /// `--root`.
    root: Option<PathBuf>,
    /// Results are JSON.
    pub json: bool,
    /// Only results and errors.
    pub quiet: bool,
    /// Colours of standard error.
    pub style: Style,
    /// Colours of standard output.
    pub out: Style,
    sink: Arc<dyn Sink>,
}

impl Context {
    /// Looks at the terminal and the environment once, and starts tracing.
    pub fn new(global: &Global) -> Self {
        let style = Style::new(colors(global.color, stderr().is_terminal()));
        let sink: Arc<dyn Sink> = if global.json {
            Arc::new(JsonLines::default())
        } else if global.quiet {
            Arc::new(Quiet)
        } else if stderr().is_terminal() && !dumb() {
            let bars = Bars::new(style);
            trace(global.verbose, Some(bars.clone()));
            Arc::new(bars)
        } else {
            Arc::new(Lines::new(global.verbose > 0))
        };
        // The bars have set up their own, which does not write across them.
        trace(global.verbose, None);
        Self {
            root: global.root.clone(),
            json: global.json,
            quiet: global.quiet,
            style,
            out: Style::new(colors(global.color, stdout().is_terminal())),
            sink,
        }
    }

    /// Where rooms report to.
    pub fn progress(&self) -> Progress {
        Progress::new(self.sink.clone())
    }

    /// Where rooms report to, for a command that wraps it.
    pub fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }

    /// A line for people on standard error, unless they asked for silence.
    pub fn say(&self, text: &str) {
        if !self.quiet && !self.json {
            output::say(text);
        }
    }

    /// The tree that people edit: `--root`, else the current directory or its nearest parent with recipes/
    /// and boards/.
    pub fn tree(&self) -> Result<Tree> {
        let tree = match &self.root {
            Some(root) => Tree::open(root),
            None => Tree::find(&std::env::current_dir().context("cannot tell the current directory")?),
        };
        Ok(tree.map_err(Report::from)?)
    }

    /// The store, at its usual place.
    pub fn store() -> Result<Store> {
        let store = Store::open(&Store::default_dir()?)?;
        Ok(store.remover(Arc::new(|dir: &Path| Sandbox::remove(dir))))
    }

    /// Columns to wrap text for standard error to. Where that is no terminal, lines are not to be broken.
    pub fn width() -> usize {
        const UNBROKEN: usize = 1000;
        columns().map_or(UNBROKEN, |columns| columns.max(40))
    }

    /// Columns of the terminal that standard error is.
    pub fn columns() -> usize {
        columns().unwrap_or(80)
    }
}

/// None where standard error is no terminal; a serial line often does not know its width.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stderr()).ok()?;
    Some(if size.ws_col == 0 {
        80
    } else {
        usize::from(size.ws_col)
    })
}

/// Whether the terminal can only write one line after the other.
fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Whether to use colours. `NO_COLOR` counts when it is not empty (no-color.org).
fn colors(when: ColorWhen, terminal: bool) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !dumb()
        }
    }
}

/// Sends trace events to standard error: `CLIC_LOG`, else warnings, with -v information, with -vv all.
fn trace(verbose: u8, bars: Option<Bars>) {
    use tracing_subscriber::EnvFilter;
    let default = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let filter = EnvFilter::try_from_env("CLIC_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .with_target(verbose > 1);
    // A second subscriber is refused, which is how the first one stays.
    let _ = match bars {
        Some(bars) => builder.with_writer(move || bars.writer()).try_init(),
        None => builder.with_writer(|| output::StandardError).try_init(),
    };
}
