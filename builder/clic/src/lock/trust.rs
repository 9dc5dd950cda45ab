//! `clic lock --trust-key`: the keys of repositories, confirmed once by a person.

use std::io::{IsTerminal as _, stderr, stdin};

use anyhow::Result;
use clic_archive::{Key, Pins};
use clic_debian::date;
use clic_engine::resolution::{LockFile, open_sources};
use clic_host::{UserError, cancel};
use clic_recipe::{AbsentKey, MOST_KEY, Plan, Tree, public_key, resolve_without_keys};
use clic_store::space;

use super::Args;
use crate::context::Context;
use crate::output;

/// A fingerprint as a person gives it: 40 hexadecimal digits, with or without blanks.
pub fn fingerprint(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_uppercase());
    }
    Err("a fingerprint has 40 hexadecimal digits; put the option last to be asked instead".to_owned())
}

/// A key that may have to be confirmed.
struct Candidate {
    source: String,
    /// Where the recipe names it.
    place: String,
    /// Where it was found, for people.
    from: String,
    key: Key,
    /// The fingerprint that is known already, and who says so.
    known: Option<(String, String)>,
    /// The file that is not in the tree yet: its path there, and its content.
    file: Option<(String, Vec<u8>)>,
}

/// Has the keys of all sources of the recipe in the tree, every one confirmed: the sources whose keys were confirmed just now, and
/// their fingerprints. `given`: fingerprints from the command line. Nothing is written before everything is confirmed.
///
/// Errors: [`UserError`] for a key that is not the one that is known or given, that is spoiled, or that nobody is there to confirm.
pub fn confirm(
    tree: &Tree,
    args: &Args,
    given: &[String],
    context: &Context,
) -> Result<Vec<(String, String)>> {
    let options = clic_recipe::ResolveOptions::default();
    let (plan, absent) = resolve_without_keys(tree, &args.recipe, &args.board, &options)?;
    let file = LockFile::new(tree, &args.recipe, &args.board, &plan)?;
    let mut names = open_sources(&plan);
    names.extend(absent.iter().map(|key| key.source.as_str()));
    // A damaged lock confirms nothing.
    let pins = file.pins(file.read().ok().flatten().as_ref(), &names);

    clic_store::writable_file(&file.path, None)?;
    for key in &absent {
        clic_store::writable_file(&tree.inside(&key.path)?, None)?;
    }
    let mut candidates = in_tree(&plan, &pins)?;
    for key in &absent {
        candidates.push(fetch(key, &pins, args, context)?);
    }
    all_meant(given, &candidates, &plan)?;
    let mut confirmed = Vec::new();
    for candidate in &candidates {
        if !candidate.is_known()? {
            candidate.ask(given, &file, context)?;
            confirmed.push((candidate.source.clone(), candidate.key.fingerprint.clone()));
        }
    }
    for candidate in &candidates {
        if let Some((path, bytes)) = &candidate.file {
            write(tree, path, bytes)?;
            context.progress().note(format!(
                "{path} is the key of source {}: {}",
                candidate.source, candidate.key.fingerprint
            ));
        }
    }
    Ok(confirmed)
}

/// The keys that are there, and whose fingerprints the recipe leaves open.
fn in_tree(plan: &Plan, pins: &Pins) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for source in &plan.sources {
        let Some((content, path)) = source.open_key() else {
            continue;
        };
        let place = source.origin.to_string();
        let key = read(&place, &source.name, path, &content.data.read()?)?;
        candidates.push(Candidate {
            source: source.name.clone(),
            place,
            from: path.to_owned(),
            key,
            known: pinned(pins, &source.name),
            file: None,
        });
    }
    Ok(candidates)
}

fn fetch(absent: &AbsentKey, pins: &Pins, args: &Args, context: &Context) -> Result<Candidate> {
    let name = format!("the key of source {}", absent.source);
    let stage = context
        .progress()
        .stage("key", &format!("Fetch {name}"), "it is not in the tree");
    let bytes = args.from.store()?.read(&absent.url, &name, MOST_KEY, &stage)?;
    stage.finish();
    let place = absent.origin.to_string();
    let says = |fingerprint: &String| (fingerprint.clone(), "the recipe".to_owned());
    Ok(Candidate {
        key: read(&place, &absent.source, &absent.url, &bytes)?,
        source: absent.source.clone(),
        place,
        from: absent.url.clone(),
        known: absent
            .fingerprint
            .as_ref()
            .map(says)
            .or_else(|| pinned(pins, &absent.source)),
        file: Some((absent.path.clone(), bytes)),
    })
}

fn pinned(pins: &Pins, source: &str) -> Option<(String, String)> {
    pins.get(source)
        .map(|(fingerprint, by)| (fingerprint.to_owned(), by.to_owned()))
}

/// One key, and a good one.
fn read(place: &str, source: &str, from: &str, bytes: &[u8]) -> Result<Key> {
    let refused = |what: &str| {
        UserError::new(format!("{place}: source {source}: {from} {what}"))
            .help("ask the repository's makers for the key that it is signed with; nothing was written")
    };
    public_key(bytes).map_err(refused)?;
    let key = Key::read(bytes)?.map_err(|holds| refused(&format!("holds {holds}")))?;
    match key.spoiled() {
        Some(state) => Err(refused(&format!("is the key {}, which is {state}", key.fingerprint)).into()),
        None => Ok(key),
    }
}

/// Every fingerprint that was given is that of some key: a slip must not go unnoticed because no key needed it.
fn all_meant(given: &[String], candidates: &[Candidate], plan: &Plan) -> Result<()> {
    let stated = plan.sources.iter().filter_map(|source| match &source.place {
        clic_recipe::plan::SourcePlace::Repository {
            fingerprint: Some(fingerprint),
            ..
        } => Some((source.name.as_str(), fingerprint.as_str())),
        _ => None,
    });
    let found = candidates
        .iter()
        .map(|candidate| (candidate.source.as_str(), candidate.key.fingerprint.as_str()));
    let all: Vec<(&str, &str)> = stated.chain(found).collect();
    let Some(stray) = given
        .iter()
        .find(|given| !all.iter().any(|(_, fingerprint)| fingerprint == *given))
    else {
        return Ok(());
    };
    let has = |(source, fingerprint): &(&str, &str)| format!("\n    source {source} has {fingerprint}");
    let list = if all.is_empty() {
        " and the recipe has no repository with a key".to_owned()
    } else {
        format!(
            " and no key of this recipe has this fingerprint{}",
            all.iter().map(has).collect::<String>()
        )
    };
    Err(UserError::new(format!("--trust-key says {stray},{list}"))
        .help(
            "one of the two is not the repository's: compare with somebody who knows it; nothing was written",
        )
        .into())
}

impl Candidate {
    /// Whether it is the key that the recipe or a lock says. A recipe's word stands against any other key.
    fn is_known(&self) -> Result<bool> {
        match &self.known {
            Some((fingerprint, _)) if *fingerprint == self.key.fingerprint => Ok(true),
            Some((fingerprint, by)) if by == "the recipe" => Err(UserError::new(format!(
                "{}: source {}: {} is the key {}, and the recipe says {fingerprint}",
                self.place, self.source, self.from, self.key.fingerprint
            ))
            .help("one of the two is not the repository's: compare with what its makers publish; nothing was written")
            .into()),
            _ => Ok(false),
        }
    }

    /// Whether a person trusts it: by a fingerprint on the command line, or asked.
    fn ask(&self, given: &[String], file: &LockFile, context: &Context) -> Result<()> {
        let (place, source, from, found) = (&self.place, &self.source, &self.from, &self.key.fingerprint);
        if given.contains(found) {
            return Ok(());
        }
        let is = format!("{place}: source {source}: {from} is the key {found}");
        if !given.is_empty() {
            return Err(
                UserError::new(format!("{is}, and --trust-key says {}", given.join(", ")))
                    .help("give the fingerprint of each key that is to be trusted; nothing was written")
                    .into(),
            );
        }
        if context.json || !stdin().is_terminal() || !stderr().is_terminal() {
            return Err(UserError::new(format!("{is}, and there is no terminal to confirm it on"))
                .help(format!(
                    "compare it with somebody who knows it, and give it: {} FINGERPRINT; nothing was written",
                    file.trust_command()
                ))
                .into());
        }
        output::ask(&format!("{}Do you trust it? [y/N]", self.shown()))?;
        let mut answer = String::new();
        stdin().read_line(&mut answer)?;
        cancel::check()?;
        if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(UserError::new(format!(
            "the key of source {source} is not trusted: nothing was written"
        ))
        .help("ask the repository's makers, or leave the source out of the recipe")
        .into())
    }

    /// All that a person has to go by.
    fn shown(&self) -> String {
        let key = &self.key;
        let day = |seconds: u64| {
            date::show(seconds)
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let mut rows = vec![("fingerprint", grouped(&key.fingerprint))];
        rows.extend(key.user_ids.iter().map(|id| ("of", id.clone())));
        rows.extend(key.created.map(|created| ("made", day(created))));
        rows.push(("expires", key.expires.map_or_else(|| "never".to_owned(), day)));
        rows.extend(
            self.known
                .iter()
                .map(|(fingerprint, by)| ("so far", format!("{}, by {by}", grouped(fingerprint)))),
        );
        let rows: Vec<String> = rows
            .into_iter()
            .map(|(what, value)| format!("  {what:<11}  {value}\n"))
            .collect();
        format!(
            "The key of source {}, from {}:\n{}\
             Whoever holds this key decides what gets into your images. Compare the fingerprint with somebody who knows it,\n\
             but not over this network.\n",
            self.source,
            self.from,
            rows.concat()
        )
    }
}

/// As gpg prints fingerprints, and people read them out.
fn grouped(fingerprint: &str) -> String {
    let groups: Vec<&str> = (0..fingerprint.len())
        .step_by(4)
        .filter_map(|at| fingerprint.get(at..at + 4))
        .collect();
    let (first, second) = groups.split_at(groups.len() / 2);
    format!("{}  {}", first.join(" "), second.join(" "))
}

/// Puts a key into the tree, at once or not at all, and never in place of something else.
fn write(tree: &Tree, path: &str, bytes: &[u8]) -> Result<()> {
    let to = tree.inside(path)?;
    let dir = to.parent().unwrap_or(tree.root());
    std::fs::create_dir_all(dir).map_err(|error| space::io_error(error, dir))?;
    if to.symlink_metadata().is_ok() {
        return Err(
            UserError::new(format!("{path} appeared meanwhile, and was not changed"))
                .help("check whose key it is, and start again")
                .into(),
        );
    }
    clic_store::write_whole(&to, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_as_people_give_them() {
        let whole = "ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F";
        for text in [
            whole,
            "ace2b9cc88c422f7cc7c1d7b573340ab4157ee2f",
            "ACE2 B9CC 88C4 22F7 CC7C  1D7B 5733 40AB 4157 EE2F",
        ] {
            assert_eq!(fingerprint(text).as_deref(), Ok(whole));
        }
        for text in ["", "minimal", "573340AB4157EE2F", &whole.replace('A', "G")] {
            assert!(
                fingerprint(text).unwrap_err().contains("40 hexadecimal digits"),
                "{text}"
            );
        }
        assert_eq!(
            grouped(whole),
            "ACE2 B9CC 88C4 22F7 CC7C  1D7B 5733 40AB 4157 EE2F"
        );
    }
}
