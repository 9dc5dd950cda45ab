//! For terminals: one line for each running stage, never wider than the terminal; a finished one leaves a line.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clic_host::plain::one_line;
use clic_host::{Event, Outcome, Sink, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::rate::Rate;
use super::{Shown, lock, stopping};
use crate::context::Context;
use crate::output::{self, Style, fitted, padded, width};

/// The reporter. Cloning shares it.
#[derive(Clone)]
pub struct Bars {
    style: Style,
    multi: MultiProgress,
    stages: Arc<Mutex<HashMap<String, Running>>>,
}

struct Running {
    bar: ProgressBar,
    work: Arc<Mutex<Work>>,
}

/// What the line of a stage shows.
struct Work {
    shown: Shown,
    rate: Rate,
}

impl Bars {
    /// Bars on standard error.
    pub fn new(style: Style) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self {
            style,
            multi,
            stages: Arc::default(),
        }
    }

    /// A writer to standard error that does not write across the bars.
    pub fn writer(&self) -> impl Write + use<> {
        AboveBars(self.multi.clone())
    }

    fn line(&self, text: &str) {
        // `MultiProgress::println` leaves the cursor at the end of its line when no bar follows.
        self.multi.suspend(|| output::say(text));
    }

    fn start(&self, title: &str, why: &str) -> Running {
        let work = Work {
            shown: Shown::new(on_one_line(title), on_one_line(why)),
            rate: Rate::default(),
        };
        let work = Arc::new(Mutex::new(work));
        let bar = self.multi.add(ProgressBar::no_length());
        let drawn = work.clone();
        let line = move |_: &ProgressState, to: &mut dyn fmt::Write| {
            // The sign before it, and the last column, after which some terminals go on in the next line.
            let room = Context::columns().saturating_sub(3);
            let work = lock(&drawn);
            let _ = to.write_str(&work.line(room, work.shown.begun.elapsed()));
        };
        let style = ProgressStyle::with_template("{spinner} {line}");
        // That it parses is a matter of the test below; a default style is not a disaster.
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let signs = if output::unicode() {
            "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "
        } else {
            "|/-\\ "
        };
        bar.set_style(style.tick_chars(signs).with_key("line", line));
        bar.enable_steady_tick(Duration::from_millis(200));
        Running { bar, work }
    }

    /// What a stage leaves: `  done Base system   3.2 s  (why)`, in one line of the terminal.
    fn ended(&self, outcome: Outcome, shown: &Shown, seconds: f64, columns: usize) -> String {
        let word = match outcome {
            Outcome::Done => self.style.good("   done"),
            Outcome::Failed => self.style.bad(" failed"),
            Outcome::Stopped => self.style.fair("stopped"),
        };
        let room = columns.saturating_sub(9);
        let time = output::seconds(seconds);
        let (titles, times) = if room < 70 { (room / 2, 0) } else { (28, 12) };
        let title = padded(&fitted(&shown.title, titles), titles);
        let line = format!("{title} {}", left_padded(&time, times));
        let left = room.saturating_sub(width(&line) + 2);
        if left < LEAST_TEXT {
            return format!("{word} {}", fitted(&line, room));
        }
        let why = self.style.dim(&fitted(&format!("({})", shown.why), left));
        format!("{word} {line}  {why}")
    }
}

/// As it can be written, so that its width is known.
fn on_one_line(text: &str) -> String {
    output::shown(&one_line(text))
}

/// Text that has fewer columns says nothing.
const LEAST_TEXT: usize = 12;

fn left_padded(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

impl Work {
    /// In at most `room` columns: the title; how far it is, and from 77 on how fast and how long yet; what it is busy with, if
    /// there is room.
    fn line(&self, room: usize, elapsed: Duration) -> String {
        let Shown { title, message, .. } = &self.shown;
        let titles = match room {
            97.. => 28,
            WIDE.. => 24,
            _ => room * 2 / 5,
        };
        let mut line = padded(&fitted(title, titles), titles);
        let mut add = |text: &str, least: usize| {
            let left = room.saturating_sub(width(&line));
            if width(text) <= left {
                line += text;
            } else if least > 0 && left >= least {
                line += &fitted(text, left);
            }
        };
        if let Some((unit, total)) = self.shown.total {
            let done = self.shown.done;
            let bars = match room {
                97.. => 20,
                WIDE.. => 10,
                _ => room / 6,
            };
            add(&format!(" [{}]", bar(done, total, bars)), 0);
            add(&format!(" {}", how_much(room, unit, done, total)), 0);
            if room >= WIDE {
                for part in self.speed(unit, total, elapsed) {
                    add(&part, 0);
                }
            }
        } else {
            add(&format!(" {:>5}", clock(elapsed)), 0);
        }
        if !message.is_empty() {
            add(&format!("  {message}"), LEAST_TEXT + 2);
        }
        line
    }

    /// How fast it goes, and how long it takes yet, as far as that is known.
    fn speed(&self, unit: Unit, total: u64, elapsed: Duration) -> Vec<String> {
        let rate = self.rate.per_second(elapsed).filter(|_| unit == Unit::Bytes);
        #[allow(clippy::cast_sign_loss, reason = "a count over a time")]
        let rate = rate.map(|rate| format!(" {}/s", output::size(rate as u64)));
        let left = self.rate.left(elapsed, total);
        let left = left.map(|left| format!(", {} left", clock(left)));
        rate.into_iter().chain(left).collect()
    }
}

/// From so many columns on there is room for how fast something goes.
const WIDE: usize = 77;

/// `===>    `, in so many columns.
fn bar(done: u64, total: u64, columns: usize) -> String {
    let whole = u128::from(done.min(total)) * columns as u128 / u128::from(total.max(1));
    let whole = usize::try_from(whole).unwrap_or(columns).min(columns);
    let head = if whole < columns { ">" } else { "" };
    padded(&format!("{}{head}", "=".repeat(whole)), columns)
}

/// `12.0 MB/60.0 MB`, `3/260`; where there is little room, `20 %`.
fn how_much(room: usize, unit: Unit, done: u64, total: u64) -> String {
    match unit {
        Unit::Bytes if room < 50 => format!("{} %", u128::from(done) * 100 / u128::from(total.max(1))),
        Unit::Bytes => format!("{}/{}", output::size(done), output::size(total)),
        Unit::Packages | Unit::Files | Unit::Checks => format!("{done}/{total}"),
    }
}

/// `45s`, `3m05s`, `2h07m`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

impl Sink for Bars {
    fn event(&self, event: &Event) {
        let mut stages = lock(&self.stages);
        match event {
            Event::Start { stage, title, why } => {
                stages.insert(stage.clone(), self.start(title, why));
            }
            Event::Total { stage, unit, total } => {
                if let Some(running) = stages.get(stage) {
                    lock(&running.work).shown.total = Some((*unit, *total));
                }
            }
            Event::Advance { stage, done } => {
                if let Some(running) = stages.get(stage) {
                    let mut work = lock(&running.work);
                    let at = work.shown.begun.elapsed();
                    work.shown.done = *done;
                    work.rate.note(at, *done);
                }
            }
            Event::Message { stage, text } => {
                if let Some(running) = stages.get(stage) {
                    lock(&running.work).shown.message = on_one_line(text);
                }
            }
            Event::End {
                stage,
                outcome,
                seconds,
            } => {
                if let Some(Running { bar, work }) = stages.remove(stage) {
                    bar.finish_and_clear();
                    self.multi.remove(&bar);
                    // Not while it is locked, since bars are drawn with it.
                    let text = self.ended(*outcome, &lock(&work).shown, *seconds, Context::columns());
                    self.line(&text);
                }
            }
            Event::Note { text } => self.line(&format!("{} {text}", self.style.fair("   note"))),
            Event::Stopping => {
                let works: Vec<_> = stages.values().map(|running| running.work.clone()).collect();
                let works: Vec<_> = works.iter().map(|work| lock(work)).collect();
                let text = stopping(works.iter().map(|work| &work.shown));
                drop(works);
                self.line(&text);
            }
        }
    }
}

struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| output::StandardError.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        output::StandardError.flush()
    }
}

#[cfg(test)]
mod tests;
