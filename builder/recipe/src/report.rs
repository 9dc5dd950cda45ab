//! What is wrong with what people wrote: every problem with its place and a way out.

mod excerpt;

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use clic_host::plain::{ascii, cut, one_line, plain};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode, ThemeCharacters, ThemeStyles};
use serde::Serialize;

use crate::report::excerpt::Excerpt;
use crate::source::{Origin, Position, shown};
use crate::template::Fuel;

/// Most problems that a report lists: more than anybody fixes at once, and few enough to be made, sorted and shown at once
/// whatever the tree.
const MOST_LISTED: usize = 100;
/// Most characters of a message and of a help: names in it can have any length.
const MOST_MESSAGE: usize = 500;
const MOST_HELP: usize = 4000;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong, in one sentence without a full stop, on one line.
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

/// One line, and not too long: names of others are in it.
fn message_of(message: &str) -> String {
    one_line(&cut(message, MOST_MESSAGE)).into_owned()
}

fn help_of(help: &str) -> String {
    plain(&cut(help, MOST_HELP)).into_owned()
}

impl Problem {
    /// A problem with something that was written in a text file.
    pub fn at(origin: &Origin, message: impl Into<String>) -> Self {
        Self {
            message: message_of(&message.into()),
            help: None,
            place: Place::Text(origin.clone()),
        }
    }

    /// A problem with a file as a whole, named relative to the tree.
    pub fn file(name: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            message: message_of(&message.into()),
            help: None,
            place: Place::File(name.into()),
        }
    }

    /// A problem with what was asked for on the command line.
    pub fn request(message: impl Into<String>) -> Self {
        Self {
            message: message_of(&message.into()),
            help: None,
            place: Place::Nowhere,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help_of(&help.into()));
        self
    }

    /// The same for the same thing said of the same place.
    fn identity(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        self.file_name().hash(&mut hash);
        if let Place::Text(origin) = &self.place {
            origin.span.hash(&mut hash);
        }
        self.message.hash(&mut hash);
        hash.finish()
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
            file: self.file_name().map(shown),
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
            Place::File(name) => write!(f, "{}: ", shown(name))?,
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

/// Everything that was found wrong: at least one problem, sorted by place, each once; of very many, those that were found first.
/// The request's fault: exit code 2.
#[derive(Clone, Debug)]
pub struct Report {
    problems: Vec<Problem>,
    /// How many more there are, and whether looking for others was given up.
    more: usize,
    given_up: bool,
}

impl Report {
    /// A report of these, if there are any.
    ///
    /// Errors: the report.
    pub fn of(problems: Vec<Problem>) -> Result<(), Self> {
        let mut noted = Problems::default();
        for problem in problems {
            noted.push(problem);
        }
        noted.into_result()
    }

    /// The problems that are listed, sorted by file, line and column.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many there are, with those that are not listed.
    pub fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    /// That there are more, if there are.
    fn rest(&self) -> Option<Problem> {
        let least = if self.given_up { "at least " } else { "" };
        let mistakes = if self.more == 1 {
            "mistake is"
        } else {
            "mistakes are"
        };
        let what = format!("{least}{} more {mistakes} not listed", self.more);
        (self.more > 0).then(|| Problem::request(what).help("fix these, and try again"))
    }

    /// Ready for `--json`.
    pub fn entries(&self) -> Vec<ProblemEntry> {
        let rest = self.rest();
        self.problems.iter().chain(&rest).map(Problem::entry).collect()
    }

    /// For people: each problem with the line that it is about, wrapped to `width` columns. The only controls in it are newlines
    /// and, with `colour`, the colours. Without `unicode`, all of it is ASCII.
    pub fn render(&self, width: usize, colour: bool, unicode: bool) -> String {
        let theme = GraphicalTheme {
            characters: if unicode {
                ThemeCharacters::unicode()
            } else {
                ThemeCharacters::ascii()
            },
            styles: if colour {
                ThemeStyles::rgb()
            } else {
                ThemeStyles::none()
            },
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false);
        let mut out = String::new();
        for problem in self.problems.iter().chain(&self.rest()) {
            let diagnostic = Diagnostic::new(problem, unicode);
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
            more: 0,
            given_up: false,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().chain(&self.rest()).enumerate() {
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
pub(crate) struct Problems {
    listed: Vec<Problem>,
    /// Hashes of all problems, listed or not: a recipe's is found again with each of its boards.
    known: HashSet<u64>,
    noted: usize,
    given_up: bool,
    /// What templates may still cost.
    pub(crate) fuel: Fuel,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        self.note(problem);
    }

    /// Notes that what was written there is wrong. Of what stands for something that is missing or wrong itself it is counted, but not
    /// told: somebody did.
    pub(crate) fn wrong(&mut self, place: &Origin, what: impl Into<String>) -> Noted<'_> {
        self.note(Problem::at(place, what))
    }

    fn note(&mut self, problem: Problem) -> Noted<'_> {
        self.noted += 1;
        if let Place::Text(origin) = &problem.place
            && origin.file.is_beyond(&origin.span)
        {
            return Noted(None);
        }
        if self.known.insert(problem.identity()) && self.listed.len() < MOST_LISTED {
            self.listed.push(problem);
            return Noted(self.listed.last_mut());
        }
        Noted(None)
    }

    /// How often something was noted: more, when something was wrong since.
    pub(crate) fn count(&self) -> usize {
        self.noted
    }

    /// Whether to give up: there is more than a report lists, and to look for further mistakes is of no use to anybody.
    pub(crate) fn enough(&mut self) -> bool {
        self.given_up |= self.known.len() > MOST_LISTED;
        self.given_up
    }

    /// The report, if there is anything to report.
    pub(crate) fn into_result(mut self) -> Result<(), Report> {
        if self.listed.is_empty() {
            return Ok(());
        }
        self.listed.sort_by_cached_key(Problem::entry);
        Err(Report {
            more: self.known.len() - self.listed.len(),
            given_up: self.given_up,
            problems: self.listed,
        })
    }
}

/// A problem that was just noted.
pub(crate) struct Noted<'p>(Option<&'p mut Problem>);

impl Noted<'_> {
    /// Adds what to do.
    pub(crate) fn help(self, help: impl Into<String>) {
        if let Some(problem) = self.0 {
            problem.help = Some(help_of(&help.into()));
        }
    }
}

/// A problem in the renderer's terms.
#[derive(Debug)]
struct Diagnostic<'p> {
    problem: &'p Problem,
    source: Option<Excerpt>,
    unicode: bool,
}

impl<'p> Diagnostic<'p> {
    fn new(problem: &'p Problem, unicode: bool) -> Self {
        let source = match &problem.place {
            Place::Text(origin) => Some(Excerpt::of(origin, unicode)),
            Place::File(_) | Place::Nowhere => None,
        };
        Self {
            problem,
            source,
            unicode,
        }
    }

    /// A text of ours with names of others in it.
    fn text(&self, text: &str) -> String {
        if self.unicode {
            text.to_owned()
        } else {
            ascii(text)
        }
    }
}

impl fmt::Display for Diagnostic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Place::File(name) = &self.problem.place {
            write!(f, "{}: ", self.text(&shown(name)))?;
        }
        f.write_str(&self.text(&self.problem.message))
    }
}

impl std::error::Error for Diagnostic<'_> {}

impl miette::Diagnostic for Diagnostic<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem
            .help
            .as_ref()
            .map(|help| Box::new(self.text(help)) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.source.as_ref()?.span();
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(
            Some("here".to_owned()),
            span,
        ))))
    }
}
