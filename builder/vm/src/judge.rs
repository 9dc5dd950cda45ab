//! From power-on to a verdict: waits for the system's own word, and says what is wrong as early as it can be known.

use std::time::{Duration, Instant};

use anyhow::Result;
use clic_host::Stage;
use clic_recipe::plan::Check;

use crate::checks;
use crate::console::{Cause, Phase};
use crate::guest::Guest;
use crate::report::{Case, Verdict};

/// After a failure has been seen, the console is followed this much longer: a panic's trace comes after its headline.
const AFTERMATH: Duration = Duration::from_secs(2);

/// How long the agent may be later than the console in telling of emergency mode.
const AGENT_LATE: Duration = Duration::from_secs(20);

/// How long one question for the system's state waits for a change.
const STATE_WAIT: u64 = 10;

/// Name of the first case of every machine.
pub const BOOTS: &str = "boots";
/// Name of the case about failed units.
pub const NO_UNIT_FAILED: &str = "no unit failed";

/// What a boot came to.
#[derive(Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// From power-on to the verdict.
    pub time: Duration,
    /// Every case.
    pub cases: Vec<Case>,
}

/// How long the guest takes from power-on until it is up. `None` if it does not come up: [`judge`] tells why.
pub fn start_time(guest: &mut Guest, timeout: Duration, stage: &Stage) -> Result<Option<Duration>> {
    match wait(guest, timeout, stage) {
        Ok(_) => Ok(Some(guest.elapsed())),
        Err(error) => {
            error.downcast::<Cause>()?;
            Ok(None)
        }
    }
}

/// Waits until the guest is up or known not to come up, then runs `checks`. `timeout` counts from power-on to the
/// verdict.
pub fn judge(guest: &mut Guest, timeout: Duration, checks: &[Check], stage: &Stage) -> Result<Judged> {
    let up = wait(guest, timeout, stage);
    let time = guest.elapsed();
    let mut units = match up {
        Ok(units) => units,
        Err(error) => {
            let cause = error.downcast::<Cause>()?;
            // What comes now only completes the log.
            match guest.watch(AFTERMATH) {
                Err(error) if error.is::<clic_host::Cancelled>() => return Err(error),
                _ => {}
            }
            let cause = refined(guest, cause);
            stage.message(cause.to_string());
            return Ok(failed(guest, cause, time, checks));
        }
    };
    let mut cases = vec![Case::new(BOOTS, time, Ok(()))];
    stage.message(format!("up after {:.0} s", time.as_secs_f64()));
    stage.advance(1);
    for check in checks {
        stage.message(check.name.clone());
        cases.push(checks::run(guest, check)?);
        stage.advance(1);
    }
    // Again at the end: a service may fail after it has started.
    let begun = Instant::now();
    let result = match failed_units(guest) {
        Ok(later) => {
            units.extend(
                later
                    .into_iter()
                    .filter(|later| !units.iter().any(|unit| unit.name == later.name))
                    .collect::<Vec<_>>(),
            );
            if units.is_empty() {
                Ok(())
            } else {
                Err(tell(&units))
            }
        }
        Err(error) => Err(format!("the machine died: {}", error.downcast::<Cause>()?)),
    };
    cases.insert(1, Case::new(NO_UNIT_FAILED, begun.elapsed(), result));
    stage.advance(1);
    let verdict = if units.is_empty() {
        Verdict::Running
    } else {
        Verdict::Degraded {
            units: units.into_iter().map(|unit| unit.name).collect(),
        }
    };
    Ok(Judged { verdict, time, cases })
}

/// The console says more in the lines after the one that gave the cause away.
fn refined(guest: &Guest, cause: Cause) -> Cause {
    match (&cause, guest.console().cause()) {
        (Cause::NoRoot(text), Some(later @ Cause::NoRoot(_))) if text.is_empty() => later.clone(),
        _ => cause,
    }
}

fn failed(guest: &Guest, cause: Cause, time: Duration, checks: &[Check]) -> Judged {
    let mut message = vec![cause.to_string()];
    let lines = guest.console().last_lines();
    if !lines.is_empty() {
        message.push("last lines of the console:".into());
        message.extend(lines.iter().map(|line| format!("  {}", line.trim_end())));
    }
    let mut cases = vec![Case::new(BOOTS, time, Err(message.join("\n")))];
    let names = std::iter::once(NO_UNIT_FAILED).chain(checks.iter().map(|check| check.name.as_str()));
    cases.extend(names.map(|name| Case::skipped(name, "the machine did not boot")));
    Judged {
        verdict: Verdict::Failed { cause },
        time,
        cases,
    }
}

/// Waits until the system says that it is up; the units that failed. An error of type [`Cause`] when it does not come up.
fn wait(guest: &mut Guest, timeout: Duration, stage: &Stage) -> Result<Vec<FailedUnit>> {
    let mut phase = None;
    let mut emergency_seen = None;
    loop {
        guest.pump()?;
        let now = guest.console().phase();
        if phase != Some(now) {
            phase = Some(now);
            stage.message(match now {
                Phase::Loader => "firmware and boot loader",
                Phase::Kernel => "kernel",
                Phase::System => "system is starting",
            });
        }
        match guest.cause() {
            // The agent knows more, and may be about to start.
            Some(Cause::Emergency(_)) if guest.met() => return Err(emergency(guest)?.into()),
            Some(Cause::Emergency(_))
                if emergency_seen.get_or_insert_with(Instant::now).elapsed() < AGENT_LATE => {}
            Some(cause) => return Err(cause.into()),
            None => {}
        }
        if guest.elapsed() > timeout {
            return Err(timed_out(guest, timeout)?.into());
        }
        if guest.met() {
            let left = timeout.saturating_sub(guest.elapsed()).as_secs();
            let command = format!(
                "timeout {} systemctl is-system-running --wait",
                STATE_WAIT.min(left + 1)
            );
            let answer = guest.run(&command, STATE_WAIT + 20)?;
            match answer.text().as_str() {
                "running" => return Ok(Vec::new()),
                "degraded" => return failed_units(guest),
                "maintenance" => return Err(emergency(guest)?.into()),
                "stopping" => return Err(Cause::PoweredOff("the system is shutting down".into()).into()),
                // Starting, or systemd does not listen yet.
                _ => guest.watch(Duration::from_millis(500))?,
            }
        } else {
            guest.watch(Duration::from_millis(200))?;
        }
    }
}

fn emergency(guest: &mut Guest) -> Result<Cause> {
    let units = failed_units(guest)?;
    Ok(Cause::Emergency(if units.is_empty() {
        "no failed unit is known".into()
    } else {
        tell(&units)
    }))
}

fn timed_out(guest: &mut Guest, timeout: Duration) -> Result<Cause> {
    let limit = timeout.as_secs();
    if !guest.met() {
        let place = guest.console().phase().place();
        let last = guest.console().last_line().unwrap_or_default().trim().to_owned();
        return Ok(Cause::TimedOut(format!(
            "after {limit} s it is still in {place}; the console's last line is \"{last}\""
        )));
    }
    let jobs = guest.run(
        "systemctl list-jobs --no-legend --plain --full | awk '$4 == \"running\" { print $2 }'",
        20,
    )?;
    let jobs = jobs.text().lines().collect::<Vec<_>>().join(", ");
    let jobs = if jobs.is_empty() {
        "something that systemd does not tell".into()
    } else {
        jobs
    };
    Ok(Cause::TimedOut(format!(
        "after {limit} s it still waits for {jobs}"
    )))
}

/// A failed unit and what it said last.
#[derive(Debug, PartialEq, Eq)]
struct FailedUnit {
    name: String,
    journal: Vec<String>,
}

fn failed_units(guest: &mut Guest) -> Result<Vec<FailedUnit>> {
    const COMMAND: &str = "systemctl list-units --failed --plain --no-legend --full | while read -r unit rest; do \
        echo \"@unit $unit\"; journalctl -b -u \"$unit\" -n 8 -o cat --no-pager 2>/dev/null; done";
    Ok(parse_units(&guest.run(COMMAND, 60)?.text()))
}

fn parse_units(text: &str) -> Vec<FailedUnit> {
    let mut units: Vec<FailedUnit> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("@unit ") {
            units.push(FailedUnit {
                name: name.trim().to_owned(),
                journal: Vec::new(),
            });
        } else if let Some(unit) = units.last_mut() {
            unit.journal.push(line.to_owned());
        }
    }
    units
}

/// Names first, then what each said.
fn tell(units: &[FailedUnit]) -> String {
    let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
    let mut lines = vec![format!("failed: {}", names.join(", "))];
    for unit in units {
        lines.push(format!("{}:", unit.name));
        lines.extend(unit.journal.iter().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_units_are_told_with_their_journal() {
        let units = parse_units("@unit a.service\nStarting a\nno such file\n@unit b.mount\n");
        assert_eq!(
            tell(&units),
            "failed: a.service, b.mount\na.service:\n  Starting a\n  no such file\nb.mount:"
        );
        assert_eq!(parse_units("No entries"), []);
    }
}
