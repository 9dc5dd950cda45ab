//! debconf's database: the questions that packages ask, and how they were answered (debconf-devel(7)).

use std::collections::BTreeMap;

use crate::control;

/// Where a system keeps the answers, but for passwords.
pub const ANSWERS: &str = "/var/cache/debconf/config.dat";
/// Where a system keeps what is asked.
pub const TEMPLATES: &str = "/var/cache/debconf/templates.dat";

/// What debconf calls a template that it made up itself, for an answer that came before any question
/// (debconf-set-selections(1)).
const MADE_UP: &str = "Dummy template";

/// The database of one system.
pub struct Database<'a> {
    answers: BTreeMap<&'a str, &'a str>,
    templates: BTreeMap<&'a str, &'a str>,
}

/// A question that some package asks.
#[derive(Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// Its type: `select`, `boolean` ...
    pub kind: &'a str,
    /// The answer, or what it is as long as nobody gives one; empty if there is neither.
    pub answer: &'a str,
    /// Of a `select` or `multiselect`, what can be answered; empty if that cannot be told.
    pub choices: Vec<String>,
}

impl<'a> Database<'a> {
    /// Reads the text of [`ANSWERS`] and of [`TEMPLATES`].
    pub fn new(answers: &'a str, templates: &'a str) -> Self {
        let by_name = |text: &'a str| {
            control::stanzas(text).filter_map(|stanza| Some((control::field(stanza, "Name")?, stanza)))
        };
        let asked = |(_, stanza): &(&str, &str)| control::field(stanza, "Description") != Some(MADE_UP);
        Self {
            answers: by_name(answers).collect(),
            templates: by_name(templates).filter(asked).collect(),
        }
    }

    /// The names of all templates of packages, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.templates.keys().copied()
    }

    /// A question. `None` if no package asks it.
    pub fn question(&self, name: &str) -> Option<Question<'a>> {
        let answered = self.answers.get(name).copied().unwrap_or_default();
        // Of those that are asked several times, or made by a script, the template has another name.
        let template = control::field(answered, "Template").unwrap_or(name);
        let template = *self.templates.get(template)?;
        Some(Question {
            kind: control::field(template, "Type").unwrap_or_default(),
            answer: control::field(answered, "Value")
                .or_else(|| control::field(template, "Default"))
                .unwrap_or_default(),
            choices: choices(template, answered),
        })
    }
}

/// The choices of a template; those that a script filled in are variables of the question.
fn choices(template: &str, answered: &str) -> Vec<String> {
    let list = control::field(template, "Choices").or_else(|| control::field(template, "Choices-C"));
    filled(list.unwrap_or_default(), answered)
        .map(|list| elements(&list))
        .unwrap_or_default()
}

/// With the values of `${NAME}` in it. `None` if one has none.
fn filled(text: &str, answered: &str) -> Option<String> {
    let variables = control::value(answered, "Variables").unwrap_or_default();
    let value = |name: &str| {
        variables.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}')?;
        filled.push_str(value(name)?);
        filled.push_str(rest);
    }
    Some(filled)
}

/// The elements of a list: between them is a comma with blanks after it. A backslash before a comma or a blank makes it a part of an
/// element.
pub fn elements(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        let at = found.len() - 1;
        if character == '\\' && rest.starts_with([',', ' ']) {
            found[at].push_str(&rest[..1]);
            rest = &rest[1..];
        } else if character == ',' && rest.starts_with(char::is_whitespace) {
            rest = rest.trim_start();
            found.push(String::new());
        } else {
            found[at].push(character);
        }
    }
    found.retain(|element| !element.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "Name: tzdata/Areas\nTemplate: tzdata/Areas\nValue: Europe\nOwners: tzdata\nFlags: seen\n\n\
        Name: locales/default\nTemplate: locales/default\nValue: fr_FR.UTF-8\nOwners: locales\nVariables:\n \
        locales = en_GB.UTF-8, fr_FR.UTF-8\n other = x\n\n\
        Name: shared/second\nTemplate: tzdata/Areas\nValue: Asia\n\n\
        Name: typo/typo\nTemplate: typo/typo\nValue: x\nOwners: typo\n\n\
        Name: unset\nTemplate: unset\nOwners: x\n\n";
    const ASKED: &str = "Name: tzdata/Areas\nChoices: Africa, Europe\nChoices-fr.utf-8: Afrique, Europe\nType: select\n\n\
        Name: locales/default\nChoices: None, ${locales}\nDescription: Which?\nType: select\n\n\
        Name: typo/typo\nDescription: Dummy template\nExtended_description: ...\nType: string\n\n\
        Name: unset\nChoices: ${nobody}\nDefault: x\nType: select\n\n";

    #[test]
    fn questions_and_their_answers() {
        let database = Database::new(GIVEN, ASKED);
        let question = |kind, answer, choices: &[&str]| {
            Some(Question {
                kind,
                answer,
                choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
            })
        };
        let areas = ["Africa", "Europe"];
        for (name, wanted) in [
            ("tzdata/Areas", question("select", "Europe", &areas)),
            ("shared/second", question("select", "Asia", &areas)),
            (
                "locales/default",
                question("select", "fr_FR.UTF-8", &["None", "en_GB.UTF-8", "fr_FR.UTF-8"]),
            ),
            // Nobody filled in what can be chosen.
            ("unset", question("select", "x", &[])),
            // Only somebody's answer.
            ("typo/typo", None),
            ("never/heard", None),
        ] {
            assert_eq!(database.question(name), wanted, "{name}");
        }
    }

    #[test]
    fn what_only_an_answer_speaks_of_is_no_question() {
        let names: Vec<&str> = Database::new(GIVEN, ASKED).names().collect();
        assert_eq!(names, ["locales/default", "tzdata/Areas", "unset"]);
    }

    #[test]
    fn lists() {
        assert_eq!(elements("a, b c,  d,e"), ["a", "b c", "d,e"]);
        assert_eq!(elements(r"a\, b\ , c\"), ["a, b ", r"c\"]);
        assert_eq!(elements(""), [""; 0]);
    }

    #[test]
    fn garbage_has_no_questions() {
        for text in [
            "",
            "\n\n",
            "Name",
            "Name:\n\u{0}",
            "Value: x\n\nName: y",
            "${",
            "Name: a\nTemplate: b",
        ] {
            assert_eq!(Database::new(text, text).question("a"), None, "{text:?}");
        }
    }
}
