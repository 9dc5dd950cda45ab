//! Folders, what changes later, and the questions that are asked.

use super::*;

#[test]
fn a_folder_becomes_a_bundle_and_goes_again() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("disque/site")).unwrap();
    for (file, text) in [
        ("disque/10_fin.ogg", "end"),
        ("disque/2_début.ogg", "beginning"),
        ("disque/.DS_Store", "x"),
        ("disque/site/index.html", "<p>"),
        ("disque/site/a.css", "a"),
    ] {
        std::fs::write(place.path(file), text).unwrap();
    }
    let add = [
        &["content", "add", "disque", "--to", "songs", "--recipe", "shelf"][..],
        &ABOUT,
    ]
    .concat();
    let (said, notes) = place.clic(&add, 0);
    assert!(
        said.starts_with("2_début.ogg (9 B) is in bundle songs: "),
        "{said}"
    );
    assert!(
        notes.contains("left out: ") && notes.contains("/disque/.DS_Store (hidden"),
        "{notes}"
    );
    let file = "content-bundles/songs/bundle.toml";
    let text = place.read(file);
    let wanted = [
        "path = \"2_début.ogg\"\ntitle = { fr = \"Début\" }\nlocal = \"files/2_début.ogg\"\n",
        "path = \"10_fin.ogg\"\ntitle = { fr = \"Fin\" }\n",
        "path = \"site\"\ntitle = { fr = \"Site\" }\nlocal = \"files/site\"\nstart = \"index.html\"\n",
    ];
    let places: Vec<usize> = wanted.iter().map(|part| text.find(part).expect(part)).collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(place.read("content-bundles/songs/files/site/a.css"), "a");
    place.clic(&["content", "check"], 0);

    // What is there is not added again, and nothing of a wrong folder is.
    let (_, said) = place.clic(&["content", "add", "disque", "--to", "songs"], 2);
    assert!(
        said.contains("`2_début.ogg` exists already in the bundle"),
        "{said}"
    );
    std::fs::create_dir(place.path("neu")).unwrap();
    std::fs::write(place.path("neu/a.ogg"), "a").unwrap();
    std::fs::write(place.path("neu/b.pdf"), "<!DOCTYPE html>").unwrap();
    let (_, said) = place.clic(&["content", "add", "neu", "--to", "songs"], 2);
    assert!(
        said.contains("is a web page, which is not what the name `b.pdf` says"),
        "{said}"
    );
    let (_, said) = place.clic(&["content", "add", "neu/a.ogg", "neu/c.ogg", "--to", "songs"], 2);
    assert!(said.contains("there is no file /"), "{said}");
    assert!(!place.path("content-bundles/songs/files/a.ogg").exists());
    assert_eq!(place.read(file), text);

    // An item, and the whole.
    let (_, said) = place.clic(&["content", "remove", "songs", "10_fin.og"], 2);
    assert!(said.contains("did you mean `10_fin.ogg`?"), "{said}");
    let (_, said) = place.clic(&["content", "remove", "songs", "10_fin.ogg"], 2);
    assert!(said.contains("`--yes` removes it without asking"), "{said}");
    let (said, _) = place.clic(&["content", "remove", "songs", "10_fin.ogg", "--yes"], 0);
    assert_eq!(said, "10_fin.ogg is no longer in bundle songs\n");
    assert!(!place.path("content-bundles/songs/files/10_fin.ogg").exists());
    place.clic(&["content", "remove", "songs", "site", "--yes"], 0);
    assert!(!place.path("content-bundles/songs/files/site").exists());
    place.clic(&["content", "check"], 0);
    let (_, said) = place.clic(&["content", "remove", "songs", "2_début.ogg", "--yes"], 2);
    assert!(said.contains("is all that is in bundle `songs`"), "{said}");
    let (said, _) = place.clic(&["content", "remove", "songs", "--yes"], 0);
    assert!(said.contains("and its name in recipe shelf"), "{said}");
    assert!(!place.path("content-bundles/songs").exists());
    assert!(place.read("recipes/shelf.toml").ends_with("bundles = []\n"));
    place.clic(&["check"], 0);
}

#[test]
fn a_file_that_changed_in_the_tree_is_taken_up_again() {
    let place = Place::new();
    for name in ["song", "other"] {
        std::fs::write(place.path(&format!("{name}.ogg")), "la").unwrap();
        let file = format!("{name}.ogg");
        place.clic(
            &[&["content", "add", &file, "--to", name][..], &ABOUT].concat(),
            0,
        );
    }
    for name in ["song", "other"] {
        std::fs::write(
            place.path(&format!("content-bundles/{name}/files/{name}.ogg")),
            "lalala",
        )
        .unwrap();
    }
    let (_, said) = place.clic(&["content", "check", "song"], 2);
    assert!(
        said.contains("if the new file is right, run `clic content update song`"),
        "{said}"
    );
    // One changed bundle keeps no other one back.
    let (said, _) = place.clic(&["content", "update", "song"], 0);
    assert_eq!(said, "song  song.ogg  2 B -> 6 B\n");
    place.clic(&["content", "check", "song"], 0);
    place.clic(&["content", "check"], 2);
    std::fs::write(
        place.path("content-bundles/song/bundle.toml"),
        "schema = 1\nkind = 3\n",
    )
    .unwrap();
    let (said, error) = place.clic(&["content", "update"], 2);
    assert_eq!(said, "other  other.ogg  2 B -> 6 B\n");
    assert!(error.contains("content-bundles/song/bundle.toml"), "{error}");
    place.clic(&["content", "check", "other"], 0);
}

#[test]
fn a_bundle_is_edited_and_checked() {
    let place = Place::new();
    std::fs::write(place.path("song.ogg"), "la").unwrap();
    place.clic(
        &[&["content", "add", "song.ogg", "--to", "songs"][..], &ABOUT].concat(),
        0,
    );
    let edit = |editor: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_clic"))
            .args(["content", "edit", "songs"])
            .current_dir(place.dir.path())
            .env("EDITOR", editor)
            .env_remove("VISUAL")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = edit("sed -i s/music/musik/");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("content-bundles/songs/bundle.toml:4:9"), "{said}");
    let (code, said) = edit("sed -i s/musik/music/");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing is wrong"), "{said}");
    let (code, said) = edit("no-such-editor");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("the editor `no-such-editor` cannot be started"),
        "{said}"
    );
}

/// What `clic ARGS` shows in a terminal (of script(1), package bsdutils) to somebody who gives these answers.
fn in_a_terminal(place: &Place, args: &[&str], answers: &[&str]) -> (Option<i32>, String) {
    let quoted = args
        .iter()
        .map(|arg| format!("'{arg}'"))
        .collect::<Vec<_>>()
        .join(" ");
    let command = format!("'{}' {quoted}", env!("CARGO_BIN_EXE_clic"));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(place.dir.path())
        .env("CLIC_CACHE", place.path("store"))
        .env("TERM", "dumb")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) of util-linux (Debian package bsdutils) is needed");
    let mut input = child.stdin.take().unwrap();
    for answer in answers {
        writeln!(input, "{answer}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn each_answer_is_looked_at_when_it_is_given() {
    let place = Place::new();
    std::fs::create_dir(place.path("livres")).unwrap();
    std::fs::write(place.path("livres/01_le-livre.pdf"), "%PDF-1.4").unwrap();
    std::fs::write(place.path("livres/02_suite.pdf"), "%PDF-1.4 b").unwrap();
    let add = ["content", "add", "livres", "--to", "livres", "--recipe", "shelf"];
    let answers = [
        "livre",
        "", // what it is: not so; what is proposed
        "99",
        "school", // theme: by its name
        "français",
        "",
        "CC BY-SA",
        "cc-by-sa-3.0",
        "Ada",
        "Mes livres",
        "", // the title, and the same in English
        "Deux livres",
        "Two books",
        "7",
        "1",
        "Le vrai livre",
        "",
    ];
    // All is looked at before the first question.
    let (code, said) = in_a_terminal(&place, &["content", "add", "none", "--to", "livres"], &answers);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("there is no file /") && !said.contains("What is it?"),
        "{said}"
    );
    // Whoever stops in the middle has changed nothing.
    let (code, said) = in_a_terminal(&place, &add, &answers[..6]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no answer"), "{said}");
    assert!(!place.path("content-bundles").exists());

    let (code, said) = in_a_terminal(&place, &add, &answers);
    assert_eq!(code, Some(0), "{said}");
    for wanted in [
        "2 items, 18 B",
        "`livre` is not in the list: give a number from 1 to 7",
        "What is it? [books]",
        "`99` is not in the list: give a number from 1 to 17",
        "17  other",
        "`français` is not a language code",
        "unknown licence `CC BY-SA`",
        "Le livre  (01_le-livre.pdf)",
        "give a number from 1 to 2",
    ] {
        assert!(said.contains(wanted), "no {wanted} in {said}");
    }
    let text = place.read("content-bundles/livres/bundle.toml");
    let wanted = "kind = \"books\"\ntheme = \"school\"\nlanguage = \"fr\"\ntitle = { fr = \"Mes livres\", en = \"Mes livres\" }\n\
                  description = { fr = \"Deux livres\", en = \"Two books\" }\nlicence = \"CC-BY-SA-3.0\"\ncredit = \"Ada\"\n";
    assert!(text.contains(wanted), "{text}");
    assert!(text.contains("title = { fr = \"Le vrai livre\" }"), "{text}");
    assert!(text.contains("title = { fr = \"Suite\" }"), "{text}");
    assert!(
        place
            .read("recipes/shelf.toml")
            .ends_with("bundles = [\"livres\"]\n")
    );
}
