//! What a plan asks of packages, held against the tree that they have made.

use std::collections::BTreeSet;

use anyhow::Result;
use clic_debian::control;
use clic_debian::debconf::{self, Database, elements};
use clic_recipe::plan::{Effect, Must, Preseed};
use clic_recipe::{Problem, nearest};
use clic_tree::{FileTree, Follow};

/// Answers that debconf has not kept, questions that nobody asks, and files that packages have made something else of.
pub fn problems(tree: &FileTree, preseeds: &[Preseed], effects: &[Effect]) -> Result<Vec<Problem>> {
    let text = |path: &str| -> Result<String> {
        let bytes = tree.content(path)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (answers, templates) = (text(debconf::ANSWERS)?, text(debconf::TEMPLATES)?);
    let database = Database::new(&answers, &templates);
    let mut problems = Vec::new();
    for preseed in preseeds {
        problems.extend(answered(tree, &database, preseed)?);
    }
    for effect in effects {
        problems.extend(effected(tree, effect)?);
    }
    Ok(problems)
}

/// What is wrong with an answer.
fn answered(tree: &FileTree, database: &Database<'_>, preseed: &Preseed) -> Result<Option<Problem>> {
    let (name, asked) = (&preseed.question, &preseed.value);
    let Some(question) = database.question(name) else {
        if was_asked(tree, name)? {
            return Ok(None);
        }
        let near = nearest(name, database.names(), 1);
        let help = near.first().map_or_else(
            || format!("add `{}` to `packages`, or remove the line", preseed.package),
            |near| format!("did you mean `{near}`?"),
        );
        let what = format!("no package of the image asks `{name}`, so that this answer has no effect");
        return Ok(Some(preseed.asked.problem(what, &help)));
    };
    // Scripts forget these as soon as they can.
    if [question.kind, &preseed.kind].contains(&"password") {
        return Ok(None);
    }
    let list = |text: &str| elements(text).into_iter().collect::<BTreeSet<String>>();
    let several = question.kind == "multiselect";
    let same = if several {
        list(asked) == list(question.answer)
    } else {
        asked.trim() == question.answer
    };
    let asked_for = match question.kind {
        "multiselect" => elements(asked),
        "select" if !asked.is_empty() => vec![asked.clone()],
        _ => Vec::new(),
    };
    let is_choice = |choice: &&String| question.choices.is_empty() || question.choices.contains(choice);
    let unknown = asked_for.iter().find(|choice| !is_choice(choice));
    if same && unknown.is_none() {
        return Ok(None);
    }
    let what = if same {
        format!("`{name}` is answered `{asked}`, which its package does not take")
    } else {
        let now = question.answer;
        format!("`{name}` is answered `{asked}`, and its package has made `{now}` of it")
    };
    let near = unknown.and_then(|choice| {
        let choices = question.choices.iter().map(String::as_str);
        nearest(choice, choices, 1).first().copied()
    });
    let help = match (unknown, near) {
        (Some(choice), Some(near)) => format!("there is no choice `{choice}`: did you mean `{near}`?"),
        (Some(choice), None) => format!("there is no choice `{choice}`"),
        (None, _) => {
            "a script of the package replaces it: ask for what it takes, or change the file that it makes"
                .to_owned()
        }
    };
    Ok(Some(preseed.asked.problem(what, &help)))
}

/// Whether some package brings a question that its scripts have not asked, or have forgotten.
fn was_asked(tree: &FileTree, question: &str) -> Result<bool> {
    for (name, _) in tree.children("var/lib/dpkg/info") {
        if !name.ends_with(b".templates") {
            continue;
        }
        let path = [b"var/lib/dpkg/info/", name].concat();
        let bytes = tree.content(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        if control::stanzas(&text).any(|stanza| control::field(stanza, "Template") == Some(question)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is wrong with a file that packages make.
fn effected(tree: &FileTree, effect: &Effect) -> Result<Option<Problem>> {
    let file = &effect.file;
    let place = match tree.resolve(file, Follow::All) {
        Ok(place) => place,
        Err(error) => {
            let what = format!("no package makes {file}: {error}");
            return Ok(Some(effect.asked.problem(what, "ask for the package that does")));
        }
    };
    let found = match &effect.must {
        Must::Target(target) => {
            if tree
                .resolve(target, Follow::All)
                .is_ok_and(|wanted| wanted == place)
            {
                return Ok(None);
            }
            format!("{file} leads to {}, not to {target}", clic_tree::shown(&place))
        }
        Must::Line(line) => {
            let bytes = tree.content(&place)?.unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            if text.lines().any(|there| there == line) {
                return Ok(None);
            }
            let lines: Vec<&str> = text.lines().take(4).collect();
            format!(
                "{file} has no line `{line}`: it begins with `{}`",
                lines.join("\\n")
            )
        }
    };
    let help = "a script of a package made it so: ask for what it takes, or let an overlay bring the file";
    Ok(Some(effect.asked.problem(found, help)))
}

#[cfg(test)]
mod tests {
    use clic_recipe::plan::Asked;
    use clic_recipe::source::SourceFile;

    use super::*;

    const ANSWERS: &str = "Name: tzdata/Areas\nTemplate: tzdata/Areas\nValue: Europe\n\n\
        Name: tzdata/Zones/Europe\nTemplate: tzdata/Zones/Europe\nValue: Amsterdam\n\n\
        Name: x/services\nTemplate: x/services\nValue: passwd, group\n\n\
        Name: x/secret\nTemplate: x/secret\n\n\
        Name: old/backend\nTemplate: old/backend\nValue: MDB\n\n";
    const TEMPLATES: &str = "Name: tzdata/Areas\nChoices: Asia, Europe\nType: select\n\n\
        Name: tzdata/Zones/Europe\nChoices: Amsterdam, Paris\nType: select\n\n\
        Name: x/services\nChoices: passwd, group, shadow\nType: multiselect\n\n\
        Name: x/secret\nType: password\n\n\
        Name: old/backend\nDescription: Dummy template\nType: select\n\n";

    fn tree() -> FileTree {
        let mut tree = FileTree::default();
        for path in [
            "etc",
            "usr/share/zoneinfo/Europe",
            "var/cache/debconf",
            "var/lib/dpkg/info",
        ] {
            tree.make_directories(path).unwrap();
        }
        tree.write_file(debconf::ANSWERS, ANSWERS.into());
        tree.write_file(debconf::TEMPLATES, TEMPLATES.into());
        tree.write_file(
            "/var/lib/dpkg/info/y.templates",
            b"Template: y/a\nType: string\n\nTemplate: y/forgotten\nType: string\n".to_vec(),
        );
        for zone in ["Amsterdam", "Paris"] {
            tree.write_file(&format!("/usr/share/zoneinfo/Europe/{zone}"), zone.into());
        }
        tree.write_symlink("/etc/localtime", "../usr/share/zoneinfo/Europe/Amsterdam");
        tree.write_file("/etc/locale.conf", b"# by a script\nLANG=fr_FR.UTF-8\n".to_vec());
        tree
    }

    fn asked() -> Asked {
        let recipe = SourceFile::new("recipes/r.toml", "a\nzone = 1\n");
        Asked {
            at: SourceFile::new("overlays/o/overlay.toml", "preseed\n").at(0..7),
            set: vec![("zone".to_owned(), recipe.at(9..10))],
        }
    }

    fn preseed(line: &str) -> Preseed {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        Preseed {
            package: words[0].to_owned(),
            question: words[1].to_owned(),
            kind: words[2].to_owned(),
            value: words.get(3).copied().unwrap_or_default().to_owned(),
            asked: asked(),
        }
    }

    #[test]
    fn answers_that_are_kept_are_right() {
        let kept = [
            "tzdata tzdata/Areas select Europe",
            // In any order.
            "x x/services multiselect group, passwd",
            // Forgotten by its script, as it should be.
            "x x/secret password secret",
            "y y/forgotten string z",
        ];
        let kept: Vec<Preseed> = kept.into_iter().map(preseed).collect();
        assert!(problems(&tree(), &kept, &[]).unwrap().is_empty());
    }

    #[test]
    fn an_answer_that_is_replaced_or_of_no_use_is_told_with_its_place() {
        for (line, said) in [
            (
                "tzdata tzdata/Zones/Europe select Pariss",
                "overlays/o/overlay.toml:1:1: `tzdata/Zones/Europe` is answered `Pariss`, and its package has made `Amsterdam` \
                 of it\n  help: there is no choice `Pariss`: did you mean `Paris`?; `zone` is set at recipes/r.toml:2:8",
            ),
            (
                "tzdata tzdata/Zones/Europe select Paris",
                "has made `Amsterdam` of it\n  help: a script of the package replaces it",
            ),
            (
                "x x/services multiselect passwd, group, hosts",
                "is answered `passwd, group, hosts`, and its package has made `passwd, group` of it\n  help: there is no \
                 choice `hosts`",
            ),
            (
                "old old/backend select MDB",
                "no package of the image asks `old/backend`, so that this answer has no effect\n  help: add `old` to \
                 `packages`, or remove the line",
            ),
            (
                "tzdata tzdata/Area select Europe",
                "no package of the image asks `tzdata/Area`, so that this answer has no effect\n  help: did you mean \
                 `tzdata/Areas`?",
            ),
        ] {
            let found = problems(&tree(), &[preseed(line)], &[]).unwrap();
            let [problem] = &found[..] else {
                panic!("{line}: {found:?}")
            };
            assert!(problem.to_string().contains(said), "{line}: {problem}");
        }
    }

    #[test]
    fn an_answer_that_is_kept_and_is_no_choice_is_told() {
        let mut tree = tree();
        let answers = ANSWERS.replace("passwd, group", "passwd, hosts");
        tree.write_file(debconf::ANSWERS, answers.into());
        let found = problems(&tree, &[preseed("x x/services multiselect hosts, passwd")], &[]).unwrap();
        let said = found[0].to_string();
        assert!(
            said.contains("which its package does not take\n  help: there is no choice `hosts`"),
            "{said}"
        );
    }

    #[test]
    fn what_files_must_be() {
        let effect = |file: &str, must| Effect {
            file: file.to_owned(),
            must,
            asked: asked(),
        };
        let line = |line: &str| Must::Line(line.to_owned());
        let zone = |zone: &str| Must::Target(format!("/usr/share/zoneinfo/Europe/{zone}"));
        let right = [
            effect("/etc/locale.conf", line("LANG=fr_FR.UTF-8")),
            effect("/etc/localtime", zone("Amsterdam")),
        ];
        assert!(problems(&tree(), &[], &right).unwrap().is_empty());
        for (wrong, said) in [
            (
                effect("/etc/locale.conf", line("LANG=fr_FR")),
                "/etc/locale.conf has no line `LANG=fr_FR`: it begins with `# by a script\\nLANG=fr_FR.UTF-8`",
            ),
            (
                effect("/etc/localtime", zone("Paris")),
                "/etc/localtime leads to /usr/share/zoneinfo/Europe/Amsterdam, not to /usr/share/zoneinfo/Europe/Paris",
            ),
            (
                effect("/etc/localtime", zone("Pariss")),
                "not to /usr/share/zoneinfo/Europe/Pariss",
            ),
            (
                effect("/etc/timezone", line("x")),
                "no package makes /etc/timezone: ",
            ),
        ] {
            let found = problems(&tree(), &[], &[wrong]).unwrap();
            let [problem] = &found[..] else {
                panic!("{said}: {found:?}")
            };
            let problem = problem.to_string();
            assert!(problem.contains(said), "{problem}");
            assert!(
                problem.ends_with("; `zone` is set at recipes/r.toml:2:8"),
                "{problem}"
            );
        }
    }
}
