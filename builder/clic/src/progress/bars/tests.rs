use std::process::Command;

use clic_host::Progress;

use super::*;

#[test]
fn the_template_parses() {
    assert!(ProgressStyle::with_template("{spinner} {line}").is_ok());
}

#[test]
fn unknown_stages_are_survived() {
    let bars = Bars::new(Style::new(false));
    bars.event(&Event::Advance {
        stage: "never-begun".into(),
        done: 1,
    });
    bars.event(&Event::End {
        stage: "never-begun".into(),
        outcome: Outcome::Done,
        seconds: 0.0,
    });
}

fn download() -> Work {
    let mut work = Work {
        shown: Shown::new("Download packages".into(), "the store lacks 260".into()),
        rate: Rate::default(),
    };
    work.shown.total = Some((Unit::Bytes, 385_200_000));
    for second in 0..=20 {
        work.shown.done = 2_900_000 * second;
        work.rate.note(Duration::from_secs(second), work.shown.done);
    }
    work.shown.message = "linux-image-6.1.0-49-amd64".into();
    work
}

#[test]
fn what_has_no_room_is_left_out_whole() {
    let mut work = download();
    let at = Duration::from_secs(20);
    assert_eq!(
        work.line(117, at),
        "Download packages            [===>                ] 58.0 MB/385.2 MB 2.9 MB/s, 1m52s left  linux-image-6.1.0-49-amd64"
    );
    assert_eq!(
        work.line(77, at),
        "Download packages        [=>        ] 58.0 MB/385.2 MB 2.9 MB/s, 1m52s left"
    );
    assert_eq!(
        work.line(57, at),
        "Download packages      [=>       ] 58.0 MB/385.2 MB"
    );
    assert_eq!(work.line(37, at), "Download pack… [>     ] 15 %");
    work.shown.done = 360_000_000;
    work.rate.note(at, work.shown.done);
    assert!(!work.line(117, at).contains("left"), "{}", work.line(117, at));
    for room in 0..130 {
        let line = work.line(room, at);
        assert!(width(&line) <= room, "{room}: {line}");
    }
}

#[test]
fn what_a_stage_leaves_is_one_line() {
    let bars = Bars::new(Style::new(false));
    let shown = Shown::new(
        "Base system 日本語".into(),
        "no layer in the store: 172 packages changed".into(),
    );
    assert_eq!(
        bars.ended(Outcome::Stopped, &shown, 65.0, 100),
        "stopped Base system 日本語             1 min 05 s  (no layer in the store: 172 packages changed)"
    );
    for columns in 10..130 {
        let line = bars.ended(Outcome::Done, &shown, 65.0, columns);
        assert!(width(&line) < columns.max(12), "{columns}: {line}");
    }
}

const CHILD: &str = "CLIC_TEST_BARS";

/// Not a test by itself: what [`on_terminals`] runs in a terminal.
#[test]
fn in_a_terminal() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let progress = Progress::new(Arc::new(Bars::new(Style::new(true))));
    let first = progress.stage(
        "a",
        "Base system",
        "no layer in the store, since the packages of the recipe changed",
    );
    first.message(
        "configure a-package-with-a-very-long-name-that-nobody-would-choose (日本語日本語日本語日本語)",
    );
    let second = progress.stage("b", "Download packages of the board", "the store lacks them");
    second.total(Unit::Bytes, 385_200_000);
    for _ in 0..12 {
        second.advance(20_000_000);
        std::thread::sleep(Duration::from_millis(100));
    }
    progress.note("3 packages are installed twice");
    second.finish();
    drop(first);
}

/// What is on a terminal's screen: lines below each other, which go on in the next one where they are too long.
struct Screen {
    columns: usize,
    rows: Vec<Vec<char>>,
    at: (usize, usize),
    /// Whether a line was too long.
    wrapped: Vec<String>,
}

impl Screen {
    fn put(&mut self, c: char) {
        use unicode_width::UnicodeWidthChar as _;
        let wide = c.width().unwrap_or(0);
        if self.at.1 + wide > self.columns {
            let row: String = self.rows[self.at.0].iter().collect();
            // One that is filled up with blanks goes on in the next line on purpose.
            if !row.ends_with(' ') {
                self.wrapped.push(row);
            }
            self.down();
            self.at.1 = 0;
        }
        let (row, from) = (&mut self.rows[self.at.0], self.at.1);
        self.at.1 += wide;
        row.resize(row.len().max(self.at.1), ' ');
        // The second half of a wide one is nothing.
        row[from..self.at.1].fill('\u{0}');
        row[from] = c;
    }

    fn down(&mut self) {
        self.at.0 += 1;
        if self.at.0 == self.rows.len() {
            self.rows.push(Vec::new());
        }
    }

    /// `ESC [ numbers letter`, as far as progress bars use it.
    fn control(&mut self, number: usize, letter: char) {
        match letter {
            'A' => self.at.0 = self.at.0.saturating_sub(number.max(1)),
            'B' => (0..number.max(1)).for_each(|_| self.down()),
            'K' if number == 2 => self.rows[self.at.0].clear(),
            'K' => self.rows[self.at.0].truncate(self.at.1),
            'J' => {
                self.rows[self.at.0].truncate(self.at.1);
                self.rows.truncate(self.at.0 + 1);
            }
            'm' => {}
            other => panic!("ESC [ {number} {other} is not known here"),
        }
    }

    fn of(text: &str, columns: usize) -> Self {
        let mut screen = Self {
            columns,
            rows: vec![Vec::new()],
            at: (0, 0),
            wrapped: Vec::new(),
        };
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => screen.at.1 = 0,
                '\n' => screen.down(),
                '\u{1b}' => {
                    assert_eq!(chars.next(), Some('['), "in {text:?}");
                    let sequence: String = chars.by_ref().take_while(|c| !c.is_ascii_alphabetic()).collect();
                    // `take_while` has taken the letter, too.
                    let rest = text.len() - chars.as_str().len();
                    let letter = text[..rest].chars().next_back().unwrap();
                    screen.control(sequence.parse().unwrap_or(0), letter);
                }
                c => screen.put(c),
            }
        }
        screen
    }

    fn lines(&self) -> Vec<String> {
        let line = |row: &Vec<char>| row.iter().filter(|c| **c != '\u{0}').collect::<String>();
        self.rows
            .iter()
            .map(line)
            .map(|line| line.trim_end().to_owned())
            .collect()
    }
}

/// The real reporter in real terminals (of `script`, which is in every Debian).
#[test]
fn on_terminals() {
    for (columns, locale) in [
        (40, "C.UTF-8"),
        (60, "C.UTF-8"),
        (60, "C"),
        (80, "C.UTF-8"),
        (100, "C.UTF-8"),
    ] {
        let own = std::env::current_exe().unwrap();
        let command = format!(
            "stty columns {columns} rows 30; exec '{}' --exact progress::bars::tests::in_a_terminal --nocapture >/dev/null",
            own.display()
        );
        let dir = tempfile::tempdir().unwrap();
        let seen = dir.path().join("typescript");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command])
            .arg(&seen)
            .env(CHILD, "1")
            .env("TERM", "xterm")
            .env("LC_ALL", locale)
            .env("SHELL", "/bin/sh")
            .stdout(std::process::Stdio::null())
            // At its end, `script` would type Ctrl-D.
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        assert!(child.wait().unwrap().success());
        drop(stdin);
        let text = std::fs::read_to_string(&seen).unwrap();
        // `script` writes when it began and ended.
        let text = text.split_once('\n').unwrap().1;
        let text = text.rsplit_once("\nScript done").unwrap().0;
        let screen = Screen::of(text, columns);
        assert!(screen.wrapped.is_empty(), "{columns}: {:#?}", screen.wrapped);
        let lines = screen.lines();
        let left: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(left.len(), 3, "{columns}: {lines:#?}");
        assert_eq!(left[0], "   note 3 packages are installed twice");
        assert!(left[1].starts_with("   done Download pa"), "{lines:#?}");
        assert!(left[2].starts_with(" failed Base system"), "{lines:#?}");
        assert_eq!(text.is_ascii(), locale == "C", "{text}");
        // The bars were there.
        assert!(text.contains("[===") || text.contains("[=>"), "{text:?}");
    }
}
