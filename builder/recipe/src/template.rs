//! Templates: minijinja, where an unknown name is an error that points into the template.

use std::collections::{BTreeMap, HashSet};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};

use crate::nearest::advice;
use crate::plan::Value;
use crate::report::{Problem, Problems};
use crate::source::{Origin, Sited};

/// Variables that every template has beside the overlay's parameters.
pub(crate) const RESERVED: [&str; 4] = ["board", "overlay", "recipe", "suite"];

/// Words of the template language, which no parameter can be called.
const KEYWORDS: [&str; 16] = [
    "and", "else", "false", "for", "if", "in", "is", "loop", "none", "not", "or", "self", "set", "true",
    "None", "True",
];

/// Whether a parameter can be called this: an identifier of the template language that means nothing else.
pub(crate) fn variable_name(name: &str) -> Result<(), String> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !first || name.len() > 64 || !name.bytes().all(inner) {
        return Err(format!(
            "`{name}` can't be a parameter's name: lower case letters, digits and `_`"
        ));
    }
    if RESERVED.contains(&name) || KEYWORDS.contains(&name) {
        return Err(format!(
            "`{name}` already means something in templates; choose another name"
        ));
    }
    Ok(())
}

/// Where a template's text comes from, which decides how precisely an error can point at it.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// A whole file.
    File(&'a Origin),
    /// A string in a TOML file.
    Inline(&'a Origin, &'a str),
}

impl<'a> Source<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::File(origin) => &origin.file.text,
            Self::Inline(_, text) => text,
        }
    }

    /// Where these bytes of the template are. A string's escapes shift bytes, so all of the string is meant there.
    fn origin(self, span: std::ops::Range<usize>) -> Origin {
        match self {
            Self::File(origin) => origin.file.at(span),
            Self::Inline(origin, _) => origin.clone(),
        }
    }
}

/// The template engine: what is written is what comes out, except for the tags themselves.
fn engine<'s>() -> Environment<'s> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // A line with only a tag leaves no empty line; the last line keeps its end.
    let syntax = SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    engine.set_syntax(syntax.expect("only delimiters can be wrong, and we leave them as they are"));
    engine.set_debug(true);
    // Limits of protocols are in bytes; the engine's own `length` counts characters.
    engine.add_filter("bytes", |text: &str| text.len());
    engine
}

/// Checks syntax and names without values. True when both are right.
pub(crate) fn check(source: Source<'_>, parameters: &[&str], problems: &mut Problems) -> bool {
    let engine = engine();
    let template = match engine.template_from_str(source.text()) {
        Ok(template) => template,
        Err(error) => {
            problems.push(explain(&error, source));
            return false;
        }
    };
    unknown_names(template.undeclared_variables(false), source, parameters, problems)
}

/// True when every name is a parameter or one that all templates have.
fn unknown_names(
    names: HashSet<String>,
    source: Source<'_>,
    parameters: &[&str],
    problems: &mut Problems,
) -> bool {
    let engine = engine();
    let mut unknown: Vec<String> = names
        .into_iter()
        .filter(|name| !parameters.contains(&name.as_str()) && !RESERVED.contains(&name.as_str()))
        .filter(|name| !engine.globals().any(|(global, _)| global == name))
        .collect();
    unknown.sort();
    for name in &unknown {
        let known = parameters.iter().copied().chain(RESERVED);
        problems
            .wrong(
                &source.origin(find_name(source.text(), name)),
                format!("unknown parameter `{name}` in a template"),
            )
            .help(advice(name, "known here", known));
    }
    unknown.is_empty()
}

/// Checks syntax and names of an expression without values.
pub(crate) fn check_expression(expression: &Sited<String>, parameters: &[&str], problems: &mut Problems) {
    let source = Source::Inline(&expression.origin, &expression.value);
    match engine().compile_expression(&expression.value) {
        Err(error) => problems.push(explain(&error, source)),
        Ok(compiled) => {
            unknown_names(compiled.undeclared_variables(false), source, parameters, problems);
        }
    }
}

/// Whether an expression is true. `None` when it can't be told, which is then in `problems`.
pub(crate) fn holds(expression: &Sited<String>, values: &Values, problems: &mut Problems) -> Option<bool> {
    let engine = engine();
    let result = engine
        .compile_expression(&expression.value)
        .and_then(|compiled| compiled.eval(values.context.clone()));
    match result {
        Ok(value) => Some(value.is_true()),
        Err(error) => {
            let source = Source::Inline(&expression.origin, &expression.value);
            problems.push(explain(&error, source));
            None
        }
    }
}

/// Fills in a template. `None` when it can't be, which is then in `problems`.
pub(crate) fn render(source: Source<'_>, values: &Values, problems: &mut Problems) -> Option<String> {
    let names: Vec<&str> = values.parameters.keys().map(String::as_str).collect();
    if !check(source, &names, problems) {
        return None;
    }
    let engine = engine();
    match engine
        .template_from_str(source.text())
        .and_then(|template| template.render(values.context.clone()))
    {
        Ok(text) => Some(text),
        Err(error) => {
            problems.push(explain(&error, source));
            None
        }
    }
}

/// What a template sees.
pub(crate) struct Values {
    parameters: BTreeMap<String, Value>,
    context: minijinja::Value,
}

impl Values {
    /// The overlay's parameters with their final values, and the plan's own names.
    pub(crate) fn new(parameters: &BTreeMap<String, Value>, plan: &Surroundings<'_>) -> Self {
        let mut context: BTreeMap<&str, minijinja::Value> = parameters
            .iter()
            .map(|(name, value)| (name.as_str(), in_templates(value)))
            .collect();
        context.insert(
            "board",
            minijinja::context! { name => plan.board, arch => plan.arch },
        );
        context.insert(
            "recipe",
            minijinja::context! { name => plan.recipe, title => plan.title },
        );
        context.insert("suite", plan.suite.into());
        context.insert("overlay", plan.overlay.into());
        Self {
            parameters: parameters.clone(),
            context: minijinja::Value::from_pairs(context),
        }
    }
}

/// The names that a template can use whatever the overlay.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) board: &'a str,
    pub(crate) arch: &'a str,
    pub(crate) recipe: &'a str,
    pub(crate) title: &'a str,
    pub(crate) suite: &'a str,
    pub(crate) overlay: &'a str,
}

fn in_templates(value: &Value) -> minijinja::Value {
    match value {
        Value::Boolean(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::List(values) => values
            .iter()
            .map(|value| minijinja::Value::from(value.as_str()))
            .collect(),
    }
}

fn explain(error: &minijinja::Error, source: Source<'_>) -> Problem {
    let text = source.text();
    let span = error
        .range()
        .filter(|range| range.end <= text.len())
        .unwrap_or_else(|| match source {
            Source::File(origin) => origin.file.line_span(error.line().unwrap_or(1)),
            Source::Inline(..) => 0..0,
        });
    let what = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    let shown = text.get(span.clone()).map(str::trim).unwrap_or_default();
    if error.kind() == minijinja::ErrorKind::UndefinedError && !shown.is_empty() && !shown.contains('\n') {
        return Problem::at(&source.origin(span.clone()), format!("`{shown}` has no value in a template")).help(
            "templates know the overlay's parameters, `board.name`, `board.arch`, `recipe.name`, `recipe.title`, `suite` and `overlay`",
        );
    }
    Problem::at(&source.origin(span), format!("wrong template: {what}"))
}

/// Where a name is first used as a word inside of a tag; the start of the text if it can't be told.
fn find_name(text: &str, name: &str) -> std::ops::Range<usize> {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let first_tag = ["{{", "{%"]
        .iter()
        .filter_map(|tag| text.find(tag))
        .min()
        .unwrap_or(0);
    text.match_indices(name)
        .map(|(start, _)| start..start + name.len())
        .find(|span| {
            let before = span
                .start
                .checked_sub(1)
                .and_then(|index| text.as_bytes().get(index));
            let tag = text[..span.start]
                .rfind(['{', '}'])
                .and_then(|index| text.as_bytes().get(index));
            span.start >= first_tag
                && tag != Some(&b'}')
                && !word(before)
                && !word(text.as_bytes().get(span.end))
        })
        .unwrap_or(0..0)
}
