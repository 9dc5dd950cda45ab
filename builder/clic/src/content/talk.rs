//! What has to be said of a new bundle: by options, or in a conversation that looks at each answer when it is given.

use std::io::{IsTerminal, stderr, stdin};

use anyhow::Result;
use clic_host::{UserError, cancel};
use clic_recipe::{language, licence, licence_advice};

use super::add::Args;
use super::edit::{quoted, table};
use super::gather::{Gathered, Origin, Piece};
use super::place::Place;
use crate::output;

/// What people write most, and what it means.
const LICENCES: [(&str, &str); 5] = [
    (
        "CC-BY-4.0",
        "I made it: anybody may use and change it, if they name me",
    ),
    (
        "CC-BY-SA-4.0",
        "I made it: the same, if what they make of it stays as free",
    ),
    ("CC0-1.0", "I made it: anybody may do with it what they like"),
    (
        "CC-PDDC",
        "Its authors died so long ago that it belongs to everybody",
    ),
    (
        "CC-BY-NC-SA-4.0",
        "Anybody may share and change it, if they name the authors and do not sell it",
    ),
];

const KINDS: [(&str, &str); 7] = [
    ("books", "to read: PDF, EPUB"),
    ("videos", "films"),
    ("audio", "music, talks"),
    ("site", "web pages"),
    ("zim", "a wiki or site as a ZIM file"),
    ("course", "steps in an order"),
    ("files", "anything to take along"),
];

const THEMES: [(&str, &str); 17] = [
    ("arts", "stories, theatre, films, pictures"),
    ("children", "for children"),
    ("city", "here and around"),
    ("commons", "free culture"),
    ("computing", "computers and the internet"),
    ("food", "garden and kitchen"),
    ("health", "health"),
    ("knowledge", "reference works, sciences"),
    ("languages", "languages"),
    ("making", "making and repairing"),
    ("music", "music and sounds"),
    ("nature", "living things"),
    ("rights", "rights and society"),
    ("school", "school and learning"),
    ("talk", "talking and meeting"),
    ("work", "writing and working together"),
    ("other", "none of these"),
];

/// Whether there is somebody to ask.
pub fn asks() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// One answer. What is wrong with one is said, and it is asked again; Enter is `usual`, if there is one.
fn ask<T>(question: &str, usual: Option<&str>, mut take: impl FnMut(&str) -> Result<T, String>) -> Result<T> {
    loop {
        let shown = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
        output::ask(&format!("{question}{shown}"))?;
        let mut line = String::new();
        let read = stdin().read_line(&mut line)?;
        cancel::check()?;
        if read == 0 {
            return Err(UserError::new("no answer").help("nothing was changed").into());
        }
        let answer = match (line.trim(), usual) {
            ("", Some(usual)) => usual,
            ("", None) => continue,
            (answer, _) => answer,
        };
        match take(answer) {
            Ok(value) => return Ok(value),
            Err(why) => output::say(&why),
        }
    }
}

fn any(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("write it in one line, without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether to go on; Enter is no.
pub fn agreed(question: &str) -> Result<bool> {
    ask(question, Some("n"), |answer| {
        match answer.to_lowercase().as_str() {
            "y" | "yes" | "o" | "oui" => Ok(true),
            "n" | "no" | "non" => Ok(false),
            _ => Err("answer y or n".to_owned()),
        }
    })
}

/// The word of a list that is chosen by its number or itself.
fn chosen<'a>(answer: &str, list: &[(&'a str, &str)]) -> Result<&'a str, String> {
    let number = answer
        .parse()
        .ok()
        .and_then(|number: usize| number.checked_sub(1));
    let by_number = number.and_then(|at| list.get(at));
    let found = by_number.or_else(|| list.iter().find(|(word, _)| word.eq_ignore_ascii_case(answer)));
    found.map(|(word, _)| *word).ok_or_else(|| {
        let near = clic_recipe::nearest(answer, list.iter().map(|(word, _)| *word), 1);
        let near = near
            .first()
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        format!(
            "`{answer}` is not in the list: give a number from 1 to {}{near}",
            list.len()
        )
    })
}

fn choose(question: &str, list: &[(&str, &str)], usual: &str) -> Result<String> {
    show(list);
    ask(question, Some(usual), |answer| {
        chosen(answer, list).map(str::to_owned)
    })
}

fn show(list: &[(&str, &str)]) {
    for (number, (word, what)) in list.iter().enumerate() {
        output::say(&format!("  {:2}  {word:<12} {what}", number + 1));
    }
}

/// The kind that most of the files are of.
fn usual_kind(found: &Gathered) -> &'static str {
    let of = |piece: &Piece| -> &'static str {
        let name = match &piece.from {
            Origin::Pages { .. } => return "site",
            Origin::File(Place::Remote(url)) => url.as_str(),
            Origin::File(Place::Local(_)) => piece.path.as_deref().unwrap_or_default(),
        };
        let ending = name
            .rsplit_once('.')
            .map_or("", |(_, ending)| ending)
            .to_ascii_lowercase();
        match ending.as_str() {
            "pdf" | "epub" | "cbz" | "djvu" | "mobi" | "odt" => "books",
            "mp4" | "m4v" | "webm" | "mkv" | "ogv" | "avi" | "mov" => "videos",
            "mp3" | "ogg" | "oga" | "opus" | "flac" | "m4a" | "m4b" | "wav" => "audio",
            "zim" => "zim",
            "html" | "htm" => "site",
            _ => "files",
        }
    };
    let kinds: Vec<&str> = found.pieces.iter().map(of).collect();
    let count = |kind: &str| kinds.iter().filter(|other| **other == kind).count();
    let most = KINDS
        .iter()
        .map(|(kind, _)| *kind)
        .rev()
        .max_by_key(|kind| count(kind));
    most.unwrap_or("files")
}

/// The themes that suit what most of the files are.
fn usual_theme(kind: &str) -> &'static str {
    match kind {
        "audio" => "music",
        "videos" | "books" => "arts",
        "course" => "school",
        "zim" => "knowledge",
        _ => "other",
    }
}

fn any_licence(answer: &str) -> Result<String, String> {
    match chosen(answer, &LICENCES) {
        Ok(word) => Ok(word.to_owned()),
        Err(why) if answer.bytes().all(|byte| byte.is_ascii_digit()) => Err(why),
        Err(_) => licence(answer).map_err(|why| {
            let advice = licence_advice(answer);
            format!("unknown licence `{answer}`: {why}; give a number, or {advice}")
        }),
    }
}

/// The beginning of a new bundle.
///
/// Errors, before anything is asked: options that are wrong; and where nobody can be asked, all that is missing.
pub fn head(args: &Args, found: &Gathered) -> Result<String> {
    let asks = asks();
    let titles = texts("--title", &args.title)?;
    let descriptions = texts("--description", &args.description)?;
    if let Some(language) = &args.language {
        self::language(language).map_err(|why| UserError::new(format!("--language: {why}")))?;
    }
    let missing: Vec<&str> = [
        ("--kind", args.kind.is_none()),
        ("--theme", args.theme.is_none()),
        ("--language", args.language.is_none()),
        ("--licence", args.licence.is_none()),
        ("--credit", args.credit.is_none()),
        ("--title fr=...", titles.is_empty()),
        ("--description fr=...", descriptions.is_empty()),
    ]
    .into_iter()
    .filter_map(|(flag, missing)| missing.then_some(flag))
    .collect();
    if !asks && !missing.is_empty() {
        return Err(UserError::new(format!(
            "bundle `{}` is new and needs a description: {} missing",
            args.bundle,
            missing.join(", ")
        ))
        .help("give these options, or run this in a terminal, which asks you for them")
        .into());
    }
    let or =
        |given: &Option<String>, other: &dyn Fn() -> Result<String>| given.clone().map_or_else(other, Ok);
    let kind = or(&args.kind, &|| choose("What is it?", &KINDS, usual_kind(found)))?;
    let theme = or(&args.theme, &|| {
        choose(
            "Under which theme do people find it?",
            &THEMES,
            usual_theme(&kind),
        )
    })?;
    let spoken = or(&args.language, &|| {
        ask(
            "In which language is it (fr, en, oc, ...; mul: several)?",
            Some("fr"),
            |answer| self::language(answer).map(|()| answer.to_owned()),
        )
    })?;
    let licence = or(&args.licence, &|| {
        show(&LICENCES);
        ask(
            "What may people do with it? A number, or another licence (SPDX):",
            None,
            any_licence,
        )
    })?;
    let credit = or(&args.credit, &|| ask("Who made it?", None, any))?;
    let usual = found
        .pieces
        .first()
        .map(|piece| piece.title.clone())
        .filter(|title| !title.is_empty());
    let title = in_both(&titles, &spoken, "Title in one line", usual.as_deref())?;
    let usual = title.first().map(|(_, text)| text.clone());
    let description = in_both(
        &descriptions,
        &spoken,
        "What is it, in a few sentences",
        usual.as_deref(),
    )?;
    Ok(format!(
        "#:schema ../../schemas/bundle.schema.json\nschema = 1\nkind = {}\ntheme = {}\nlanguage = {}\ntitle = {}\n\
         description = {}\nlicence = {}\ncredit = {}\n",
        quoted(&kind),
        quoted(&theme),
        quoted(&spoken),
        table(&title),
        table(&description),
        quoted(&licence),
        quoted(&credit),
    ))
}

/// What options say: pairs of a language and a text.
pub fn texts(flag: &str, given: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |text: &String| -> Result<(String, String)> {
        let (name, text) = text.split_once('=').ok_or_else(|| {
            UserError::new(format!("{flag} {text}: in which language is it?"))
                .help(format!("write {flag} fr=\"{text}\""))
        })?;
        language(name).map_err(|why| UserError::new(format!("{flag}: {why}")))?;
        Ok((name.to_owned(), text.to_owned()))
    };
    given.iter().map(pair).collect()
}

/// A text for readers in French and in English. A translation need not be there: then it is the same in both.
fn in_both(
    given: &[(String, String)],
    spoken: &str,
    question: &str,
    usual: Option<&str>,
) -> Result<Vec<(String, String)>> {
    let mut all = given.to_vec();
    if all.is_empty() {
        let first = if spoken.starts_with("en") { "en" } else { "fr" };
        let text = ask(&format!("{question} ({first})?"), usual, any)?;
        all.push((first.to_owned(), text.clone()));
        let other = if first == "fr" { "en" } else { "fr" };
        let text = ask(
            &format!("The same in the other language ({other}; Enter: as it is)?"),
            Some(&text),
            any,
        )?;
        all.push((other.to_owned(), text));
    }
    let same = all.first().map(|(_, text)| text.clone()).unwrap_or_default();
    for language in ["fr", "en"] {
        if !all.iter().any(|(name, _)| name == language) {
            all.push((language.to_owned(), same.clone()));
        }
    }
    Ok(all)
}

/// Shows what the items may be called, and has each changed that somebody wants to change.
pub fn titles(found: &mut Gathered) -> Result<()> {
    let mut known: Vec<&mut Piece> = found
        .pieces
        .iter_mut()
        .filter(|piece| piece.path.is_some())
        .collect();
    if known.is_empty() || !asks() {
        return Ok(());
    }
    output::say("People will see:");
    for (number, piece) in known.iter().enumerate() {
        output::say(&format!(
            "  {:3}  {}  ({})",
            number + 1,
            piece.title,
            piece.path.as_deref().unwrap_or_default()
        ));
    }
    let most = known.len();
    loop {
        let number = ask(
            "Enter keeps these titles; a number changes one:",
            Some("ok"),
            |answer| match answer.parse::<usize>() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ if answer == "ok" => Ok(0),
                _ => Err(format!("give a number from 1 to {most}, or just press Enter")),
            },
        )?;
        let Some(piece) = number.checked_sub(1).and_then(|at| known.get_mut(at)) else {
            return Ok(());
        };
        piece.title = ask(
            &format!("Title of {}:", piece.given),
            Some(&piece.title.clone()),
            any,
        )?;
    }
}

#[cfg(test)]
mod tests {
    use clic_recipe::plan::{BundleKind, Theme};

    use super::*;

    #[test]
    fn what_is_offered_is_all_that_there_is() {
        for (word, _) in THEMES {
            assert!(serde_json::from_value::<Theme>(word.into()).is_ok(), "{word}");
        }
        for (word, _) in KINDS {
            assert!(
                serde_json::from_value::<BundleKind>(word.into()).is_ok(),
                "{word}"
            );
        }
        // Another one would be in the schema.
        let schemas = clic_recipe::schemas();
        let (_, schema) = schemas
            .iter()
            .find(|(name, _)| *name == "bundle.schema.json")
            .unwrap();
        for (words, name) in [(THEMES.len(), "Theme"), (KINDS.len(), "BundleKind")] {
            let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
            let all = &schema["definitions"][name]["oneOf"];
            assert_eq!(all.as_array().map(Vec::len), Some(words), "{name}: {all}");
        }
        for (word, _) in LICENCES {
            assert_eq!(licence(word).as_deref(), Ok(word));
        }
    }

    #[test]
    fn an_answer_is_a_number_or_a_word() {
        assert_eq!(chosen("2", &KINDS), Ok("videos"));
        assert_eq!(chosen("Books", &KINDS), Ok("books"));
        assert_eq!(
            chosen("livre", &KINDS).unwrap_err(),
            "`livre` is not in the list: give a number from 1 to 7"
        );
        assert_eq!(
            chosen("bokks", &KINDS).unwrap_err(),
            "`bokks` is not in the list: give a number from 1 to 7; did you mean `books`?"
        );
        for wrong in ["0", "8", "99999999999999999999"] {
            assert!(chosen(wrong, &KINDS).is_err(), "{wrong}");
        }
        assert_eq!(any_licence("cc-by-sa-3.0").as_deref(), Ok("CC-BY-SA-3.0"));
        assert_eq!(any_licence("1").as_deref(), Ok("CC-BY-4.0"));
        let said = any_licence("CC BY-SA").unwrap_err();
        assert!(said.starts_with("unknown licence `CC BY-SA`: "), "{said}");
        assert!(any_licence("9").unwrap_err().contains("a number from 1 to 5"));
    }

    #[test]
    fn one_text_is_enough_for_both_languages() {
        let both = in_both(&[("fr".into(), "Été".into())], "fr", "Title", None).unwrap();
        assert_eq!(table(&both), "{ fr = \"Été\", en = \"Été\" }");
        let said = texts("--title", &["Candide".to_owned()]).unwrap_err();
        assert!(said.to_string().contains("in which language is it"), "{said}");
        let said = texts("--title", &["français=Candide".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(said.contains("is not a language code"), "{said}");
    }
}
