//! Parameters of overlays: what they accept, and whether a value is that.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checker::Checker;
use crate::nearest::advice_of_many;
use crate::plan::Value;
use crate::raw::{At, ParameterType, RawParameter, RawValue};
use crate::report::{Problem, Problems};
use crate::source::Origin;

/// Bytes that a pattern may take when it is compiled, and its cache: compiling takes time by that, and so does matching. The
/// largest of the tree that we ship takes a tenth.
const MOST_PATTERN: usize = 256 << 10;
/// Most bytes of a value.
const MOST_VALUE: usize = 64 << 10;

/// A parameter with a checked declaration.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) description: String,
    pub(crate) default: Option<Value>,
    rules: Rules,
}

/// A parameter, for lists: what it accepts, and what it is if nobody says.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct ParameterInfo {
    /// `string`, `integer`, `boolean` or `list`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it is for.
    pub description: String,
    /// Its value where a recipe says none; without one, recipes must.
    pub default: Option<Value>,
    /// The only values of a text, or of a list's elements.
    pub choices: Option<Vec<String>>,
    /// What the whole of a text, or of each element, matches: a regular expression.
    pub pattern: Option<String>,
    /// The least number.
    pub min: Option<i64>,
    /// The largest number.
    pub max: Option<i64>,
}

#[derive(Debug)]
struct Rules {
    kind: ParameterType,
    choices: Option<Vec<String>>,
    /// The choice that is meant by a text that is none.
    meant: BTreeMap<String, String>,
    /// The pattern as written, and anchored at both ends.
    pattern: Option<(String, regex::Regex)>,
    min: Option<i64>,
    max: Option<i64>,
}

/// Checks a declaration. `None` when it can't be used.
pub(crate) fn declare(name: &str, raw: RawParameter, checker: &mut Checker<'_>) -> Option<Parameter> {
    let before = checker.count();
    let kind = raw.kind.value;
    let textual = matches!(kind, ParameterType::String | ParameterType::List);
    let misplaced = |origin: Origin, key: &str, kinds: &str| {
        Problem::at(
            &origin,
            format!("`{key}` belongs to {kinds}, and `{name}` is {}", in_words(kind)),
        )
        .help(format!("remove `{key}`, or change the type"))
    };
    if let Some(choices) = raw.choices.as_ref().filter(|_| !textual) {
        checker.problems.push(misplaced(
            choices.origin(checker.file),
            "choices",
            "text and lists",
        ));
    }
    if let Some(choices) = raw.choices.as_ref().filter(|choices| choices.value.is_empty()) {
        checker.wrong(choices, "without any choice, no value can be right");
    }
    if let Some(pattern) = raw.pattern.as_ref().filter(|_| !textual) {
        checker.problems.push(misplaced(
            pattern.origin(checker.file),
            "pattern",
            "text and lists",
        ));
    }
    for (key, bound) in [("min", &raw.min), ("max", &raw.max)] {
        if let Some(bound) = bound.as_ref().filter(|_| kind != ParameterType::Integer) {
            checker
                .problems
                .push(misplaced(bound.origin(checker.file), key, "integers"));
        }
    }
    if let (Some(min), Some(max)) = (&raw.min, &raw.max)
        && min.value > max.value
    {
        checker.wrong(max, format!("`max` is less than `min`, {}", min.value));
    }
    for meant in raw.meant.values() {
        let is_choice = |choice: &At<String>| choice.value == meant.value;
        if !raw
            .choices
            .as_ref()
            .is_some_and(|choices| choices.value.iter().any(is_choice))
        {
            checker.wrong(meant, format!("`{}` is none of the choices", meant.value));
        }
    }
    if raw.description.value.trim().is_empty() {
        checker
            .wrong(&raw.description, format!("parameter `{name}` has no description"))
            .help("say in a sentence what it does: people who write recipes read it");
    }
    let pattern = raw.pattern.and_then(|pattern| match compile(&pattern.value) {
        Ok(regex) => Some((pattern.value, regex)),
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default();
            let why = why.trim_start_matches("error: ");
            checker.wrong(&pattern, format!("not a regular expression: {why}"));
            None
        }
    });
    let rules = Rules {
        kind,
        choices: raw
            .choices
            .map(|choices| choices.value.into_iter().map(|choice| choice.value).collect()),
        meant: raw
            .meant
            .into_iter()
            .map(|(text, meant)| (text, meant.value))
            .collect(),
        pattern,
        min: raw.min.map(|bound| bound.value),
        max: raw.max.map(|bound| bound.value),
    };
    let default = match raw.default {
        Some(default) if checker.count() == before => {
            let origin = default.origin(checker.file);
            rules.accept(name, default.value, &origin, checker.problems)
        }
        _ => None,
    };
    (checker.count() == before).then_some(Parameter {
        description: raw.description.value,
        default,
        rules,
    })
}

/// A pattern that the whole of a value must match.
fn compile(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .size_limit(MOST_PATTERN)
        .dfa_size_limit(MOST_PATTERN)
        .build()
}

impl Parameter {
    /// For lists.
    pub(crate) fn info(&self) -> ParameterInfo {
        let rules = &self.rules;
        ParameterInfo {
            kind: match rules.kind {
                ParameterType::String => "string",
                ParameterType::Integer => "integer",
                ParameterType::Boolean => "boolean",
                ParameterType::List => "list",
            },
            description: self.description.clone(),
            default: self.default.clone(),
            choices: rules.choices.clone(),
            pattern: rules.pattern.as_ref().map(|(written, _)| written.clone()),
            min: rules.min,
            max: rules.max,
        }
    }

    /// A value that somebody set, if it is of the type and within the limits.
    pub(crate) fn accept(
        &self,
        name: &str,
        value: RawValue,
        origin: &Origin,
        problems: &mut Problems,
    ) -> Option<Value> {
        self.rules.accept(name, value, origin, problems)
    }
}

impl Rules {
    fn accept(&self, name: &str, value: RawValue, origin: &Origin, problems: &mut Problems) -> Option<Value> {
        match self.check(name, value.0) {
            Ok(value) => Some(value),
            Err((message, help)) => {
                let problem = Problem::at(origin, message);
                problems.push(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                None
            }
        }
    }

    fn check(&self, name: &str, value: toml::Value) -> Result<Value, (String, Option<String>)> {
        match (self.kind, value) {
            (ParameterType::Boolean, toml::Value::Boolean(value)) => Ok(Value::Boolean(value)),
            (ParameterType::Integer, toml::Value::Integer(value)) => {
                let (min, max) = (self.min.unwrap_or(i64::MIN), self.max.unwrap_or(i64::MAX));
                if (min..=max).contains(&value) {
                    return Ok(Value::Integer(value));
                }
                let range = match (self.min, self.max) {
                    (Some(min), Some(max)) => format!("from {min} to {max}"),
                    (Some(min), None) => format!("{min} or more"),
                    _ => format!("{max} or less"),
                };
                Err((format!("`{name}` is {range}, and {value} is not"), None))
            }
            (ParameterType::String, toml::Value::String(value)) => {
                self.check_text(name, &value)?;
                Ok(Value::String(value))
            }
            (ParameterType::List, toml::Value::Array(values)) => {
                let mut list = Vec::new();
                for value in values {
                    let toml::Value::String(value) = value else {
                        return Err((
                            format!(
                                "`{name}` must be a list of text, but this has {} in it",
                                found(&value)
                            ),
                            None,
                        ));
                    };
                    self.check_text(name, &value)?;
                    list.push(value);
                }
                Ok(Value::List(list))
            }
            (_, value) => {
                let help = match (self.kind, &value) {
                    (ParameterType::String, toml::Value::Integer(number)) => {
                        Some(format!("write `\"{number}\"`"))
                    }
                    (ParameterType::Boolean, toml::Value::String(_)) => {
                        Some("write true or false, without quotes".to_owned())
                    }
                    (ParameterType::Integer, toml::Value::String(_)) => {
                        Some("write the number without quotes".to_owned())
                    }
                    (ParameterType::List, toml::Value::String(text)) => Some(format!("write `[{text:?}]`")),
                    _ => None,
                };
                Err((
                    format!(
                        "`{name}` must be {}, but this is {}",
                        in_words(self.kind),
                        found(&value)
                    ),
                    help,
                ))
            }
        }
    }

    fn check_text(&self, name: &str, text: &str) -> Result<(), (String, Option<String>)> {
        if text.len() > MOST_VALUE {
            return Err((format!("`{name}` can't have more than {MOST_VALUE} bytes"), None));
        }
        if let Some(choices) = &self.choices
            && !choices.iter().any(|choice| choice == text)
        {
            let is_meant = |other: &&String| other.to_lowercase() == text.trim().to_lowercase();
            if let Some(meant) = self
                .meant
                .keys()
                .find(is_meant)
                .and_then(|text| self.meant.get(text))
            {
                return Err((
                    format!("`{name}` can't be {text:?}"),
                    Some(format!("did you mean `{meant}`?")),
                ));
            }
            let known = choices.iter().map(String::as_str);
            return Err((
                format!("`{name}` can't be {text:?}"),
                Some(advice_of_many(text, "choices", known)),
            ));
        }
        if let Some((written, regex)) = &self.pattern
            && !regex.is_match(text)
        {
            return Err((
                format!("`{name}` can't be {text:?}"),
                Some(format!("it must match `{written}`")),
            ));
        }
        if text.contains('\0') {
            return Err((format!("`{name}` can't have a NUL character"), None));
        }
        Ok(())
    }
}

fn in_words(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::String => "text in quotes",
        ParameterType::Integer => "a whole number",
        ParameterType::Boolean => "true or false",
        ParameterType::List => "a list of text",
    }
}

fn found(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("the text {text:?}"),
        toml::Value::Integer(number) => format!("the number {number}"),
        toml::Value::Float(number) => format!("the number {number}"),
        toml::Value::Boolean(value) => value.to_string(),
        toml::Value::Datetime(_) => "a date".to_owned(),
        toml::Value::Array(_) => "a list".to_owned(),
        toml::Value::Table(_) => "a table".to_owned(),
    }
}
