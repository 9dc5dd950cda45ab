//! Templates: minijinja, where an unknown name is an error that points into the template.

use std::collections::{BTreeMap, HashSet};

use clic_host::cancel;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Captured, Environment, ErrorKind, UndefinedBehavior};

use crate::nearest::advice;
use crate::plan::{Asked, Value};
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

/// Most unknown names of one template that are told: each is looked for in it.
const MOST_UNKNOWN: usize = 20;
/// What one template may cost, in the engine's units: an instruction, or 64 bytes. The most expensive one that we ship costs a
/// hundredth.
const MOST_FUEL: u64 = 1_000_000;
/// What all templates of one run may cost together: seconds.
const MOST_FUEL_IN_ALL: u64 = 50_000_000;
/// Most bytes of a template with its values filled in.
const MOST_FILLED: usize = 4 << 20;
/// Most words of one tag, and most times `elif` in a template: what is nested that deep takes as much stack when it is compiled.
const MOST_WORDS: usize = 1000;
const MOST_BRANCHES: usize = 200;

/// What templates may still cost: they come from strangers, and loops can be endless for all that anybody waits.
#[derive(Debug)]
pub(crate) struct Fuel(u64);

impl Default for Fuel {
    fn default() -> Self {
        Self(MOST_FUEL_IN_ALL)
    }
}

/// A line with only a tag leaves no empty line; the last line keeps its end.
fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    syntax.expect("only delimiters can be wrong, and we leave them as they are")
}

/// The template engine: what is written is what comes out, except for the tags themselves.
fn engine<'s>() -> Environment<'s> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    engine.set_syntax(syntax());
    engine.set_debug(true);
    engine.set_fuel(Some(MOST_FUEL));
    // One that holds itself is printed for ever.
    engine.remove_global("namespace");
    // Limits of protocols are in bytes; the engine's own `length` counts characters.
    engine.add_filter("bytes", |text: &str| text.len());
    engine
}

/// Whether a template (or an expression) can be compiled without taking all of the stack.
fn shallow(source: Source<'_>, is_expression: bool) -> Result<(), Problem> {
    let (mut words, mut branches) = (0, 0);
    for token in tokenize(source.text(), is_expression, syntax()) {
        // What is wrong, compiling tells.
        let Ok((token, span)) = token else { break };
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => words = 0,
            Token::Ident("elif") => branches += 1,
            _ => words += 1,
        }
        let what = match (words > MOST_WORDS, branches > MOST_BRANCHES) {
            (true, _) => format!("a tag has more than {MOST_WORDS} words"),
            (_, true) => format!("there are more than {MOST_BRANCHES} `elif` in one template"),
            _ => continue,
        };
        let place = source.origin(span.start_offset as usize..span.end_offset as usize);
        return Err(Problem::at(&place, what).help("divide it"));
    }
    Ok(())
}

/// Checks syntax and names without values. True when both are right.
pub(crate) fn check(source: Source<'_>, parameters: &[&str], problems: &mut Problems) -> bool {
    if let Err(problem) = shallow(source, false) {
        problems.push(problem);
        return false;
    }
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

/// The names that a template reads; none if it can't be compiled.
pub(crate) fn variables(source: Source<'_>) -> HashSet<String> {
    let engine = engine();
    let template = engine.template_from_str(source.text());
    template.map_or_else(
        |_| HashSet::new(),
        |template| template.undeclared_variables(false),
    )
}

/// The names that an expression reads; none if it can't be compiled.
pub(crate) fn variables_of_expression(expression: &str) -> HashSet<String> {
    let engine = engine();
    let compiled = engine.compile_expression(expression);
    compiled.map_or_else(
        |_| HashSet::new(),
        |compiled| compiled.undeclared_variables(false),
    )
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
    for name in unknown.iter().take(MOST_UNKNOWN) {
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
    if let Err(problem) = shallow(source, true) {
        return problems.push(problem);
    }
    match engine().compile_expression(&expression.value) {
        Err(error) => problems.push(explain(&error, source)),
        Ok(compiled) => {
            unknown_names(compiled.undeclared_variables(false), source, parameters, problems);
        }
    }
}

/// Whether an expression, which was checked, is true. `None` when it can't be told, which is then in `problems`.
pub(crate) fn holds(expression: &Sited<String>, values: &Values, problems: &mut Problems) -> Option<bool> {
    // As a template, because only those say what they cost.
    let text = format!("{{% if {} %}}1{{% endif %}}", expression.value);
    let source = Source::Inline(&expression.origin, &text);
    filled(source, values, problems).map(|text| !text.is_empty())
}

/// Fills in a template. `None` when it can't be, which is then in `problems`.
pub(crate) fn render(source: Source<'_>, values: &Values, problems: &mut Problems) -> Option<String> {
    let names: Vec<&str> = values.parameters.keys().map(String::as_str).collect();
    if !check(source, &names, problems) {
        return None;
    }
    filled(source, values, problems)
}

/// Fills in a template that was checked.
fn filled(source: Source<'_>, values: &Values, problems: &mut Problems) -> Option<String> {
    let fuel = problems.fuel.0.min(MOST_FUEL);
    if fuel == 0 || cancel::requested() {
        problems.push(used_up());
        return None;
    }
    let mut engine = engine();
    engine.set_fuel(Some(fuel));
    let result = engine
        .template_from_str(source.text())
        .and_then(|template| template.render_captured(values.context.clone()));
    let levels = result
        .as_ref()
        .ok()
        .and_then(|filled| filled.state().fuel_levels());
    problems.fuel.0 -= levels.map_or(fuel, |(spent, _)| spent.min(fuel));
    match result.map(Captured::into_output) {
        Ok(text) if text.len() > MOST_FILLED => {
            let what = format!("this template becomes larger than {MOST_FILLED} bytes");
            problems.push(Problem::at(&source.origin(0..0), what));
            None
        }
        Ok(text) => Some(text),
        Err(error) => {
            let of_all = error.kind() == ErrorKind::OutOfFuel && fuel < MOST_FUEL;
            problems.push(if of_all {
                used_up()
            } else {
                explain(&error, source)
            });
            None
        }
    }
}

/// What is said once, however many templates are left.
fn used_up() -> Problem {
    Problem::request("the templates of this tree take too much work, and the rest was not filled in")
        .help("leave out loops in loops")
}

/// What a template sees.
pub(crate) struct Values {
    parameters: BTreeMap<String, Value>,
    context: minijinja::Value,
    /// Where the recipe sets some of the parameters.
    set: BTreeMap<String, Origin>,
}

impl Values {
    /// The overlay's parameters with their final values, the plan's own names, and where the recipe sets parameters.
    pub(crate) fn new(
        parameters: &BTreeMap<String, Value>,
        plan: &Surroundings<'_>,
        set: BTreeMap<String, Origin>,
    ) -> Self {
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
            set,
        }
    }

    /// Who asks for what a text of an overlay says.
    pub(crate) fn asked(&self, text: &Sited<String>) -> Asked {
        let names = variables(Source::Inline(&text.origin, &text.value));
        let set = self.set.iter().filter(|(name, _)| names.contains(*name));
        Asked {
            at: text.origin.clone(),
            set: set.map(|(name, at)| (name.clone(), at.clone())).collect(),
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
    if error.kind() == ErrorKind::OutOfFuel {
        return Problem::at(
            &source.origin(span),
            "this template takes too much work, or becomes too large",
        )
        .help("leave out loops in loops: a template fills in values");
    }
    let what = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    let shown = text.get(span.clone()).map(str::trim).unwrap_or_default();
    if error.kind() == ErrorKind::UndefinedError && !shown.is_empty() && !shown.contains('\n') {
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
    // The nearest brace before, carried along: looking back for it each time would take time by the square.
    let (mut looked, mut tag) = (0, None);
    text.match_indices(name)
        .map(|(start, _)| start..start + name.len())
        .find(|span| {
            let braces = text.as_bytes().get(looked..span.start).unwrap_or_default();
            tag = braces.iter().rfind(|byte| matches!(byte, b'{' | b'}')).or(tag);
            looked = span.start;
            let before = span
                .start
                .checked_sub(1)
                .and_then(|index| text.as_bytes().get(index));
            span.start >= first_tag
                && tag != Some(&b'}')
                && !word(before)
                && !word(text.as_bytes().get(span.end))
        })
        .unwrap_or(0..0)
}
