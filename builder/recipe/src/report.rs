//! What is wrong with what people wrote: every problem with its place and a way out.

use std::fmt;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode, SourceSpan};
use serde::Serialize;

use crate::source::{Origin, Position};

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Text(Origin),
    File(PathBuf),
    Nowhere,
}

impl Problem {
    /// A problem with something that was written in a text file.
    pub fn at(origin: &Origin, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            place: Place::Text(origin.clone()),
        }
    }

    /// A problem with a file as a whole, named relative to the tree.
    pub fn file(name: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            place: Place::File(name.into()),
        }
    }

    /// A problem with what was asked for on the command line.
    pub fn request(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            place: Place::Nowhere,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The file that is meant, if any.
    pub fn file_name(&self) -> Option<&Path> {
        match &self.place {
            Place::Text(origin) => Some(&origin.file.name),
            Place::File(name) => Some(name),
            Place::Nowhere => None,
        }
    }

    /// Line and column, if the problem is in a text.
    pub fn position(&self) -> Option<Position> {
        match &self.place {
            Place::Text(origin) => Some(origin.position()),
            Place::File(_) | Place::Nowhere => None,
        }
    }

    /// Ready for `--json`.
    pub fn entry(&self) -> ProblemEntry {
        let position = self.position();
        ProblemEntry {
            file: self.file_name().map(|name| name.display().to_string()),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            message: self.message.clone(),
            help: self.help.clone(),
        }
    }
}

/// `recipes/minimal.toml:7:13: message`, and the help on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Text(origin) => write!(f, "{origin}: ")?,
            Place::File(name) => write!(f, "{}: ", name.display())?,
            Place::Nowhere => {}
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// A problem for programs.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProblemEntry {
    /// Path relative to the tree.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Everything that was found wrong: at least one problem, sorted by place, each once. The request's fault:
/// exit code 2.
#[derive(Clone, Debug)]
pub struct Report {
    problems: Vec<Problem>,
}

impl Report {
    /// The problems, sorted by file, line and column.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Ready for `--json`.
    pub fn entries(&self) -> Vec<ProblemEntry> {
        self.problems.iter().map(Problem::entry).collect()
    }

    /// For people: each problem with the line that it is about, wrapped to `width` columns.
    pub fn render(&self, width: usize, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false);
        let mut out = String::new();
        for problem in &self.problems {
            let diagnostic = Diagnostic::new(problem);
            if handler.render_report(&mut out, &diagnostic).is_err() {
                // A file that changed into something the renderer refuses must not hide the message.
                out.push_str(&problem.to_string());
                out.push('\n');
            }
        }
        out
    }
}

impl From<Problem> for Report {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// Collects problems so that a person sees all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Notes that what was written there is wrong.
    pub(crate) fn wrong(&mut self, place: &Origin, what: impl Into<String>) -> Noted<'_> {
        self.0.push(Problem::at(place, what));
        Noted(self.0.last_mut())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The report, if there is anything to report.
    pub(crate) fn into_result(mut self) -> Result<(), Report> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by_cached_key(Problem::entry);
        self.0.dedup_by_key(|problem| problem.entry());
        Err(Report { problems: self.0 })
    }
}

/// A problem that was just noted.
pub(crate) struct Noted<'p>(Option<&'p mut Problem>);

impl Noted<'_> {
    /// Adds what to do.
    pub(crate) fn help(self, help: impl Into<String>) {
        if let Some(problem) = self.0 {
            problem.help = Some(help.into());
        }
    }
}

/// A problem in the renderer's terms.
#[derive(Debug)]
struct Diagnostic<'p> {
    problem: &'p Problem,
    source: Option<(NamedSource<String>, SourceSpan)>,
}

impl<'p> Diagnostic<'p> {
    fn new(problem: &'p Problem) -> Self {
        let source = match &problem.place {
            Place::Text(origin) => Some((
                NamedSource::new(origin.file.name.to_string_lossy(), origin.file.text.clone()),
                origin.span.clone().into(),
            )),
            Place::File(_) | Place::Nowhere => None,
        };
        Self { problem, source }
    }
}

impl fmt::Display for Diagnostic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Place::File(name) = &self.problem.place {
            write!(f, "{}: ", name.display())?;
        }
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Diagnostic<'_> {}

impl miette::Diagnostic for Diagnostic<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|(source, _)| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.source.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(
            Some("here".to_owned()),
            *span,
        ))))
    }
}
