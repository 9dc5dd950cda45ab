//! `clic`: from a recipe to an image that boots.

mod args;
mod context;
mod failure;
mod mirror;
mod names;
mod output;
mod progress;
mod root;

mod boards;
mod build;
mod cache;
mod check;
mod completions;
mod content;
mod diff;
mod doctor;
mod inspect;
mod lock;
mod man;
mod overlays;
mod plan;
mod recipes;
mod test;

use std::process::ExitCode;

use clap::Parser;
use clic_host::{Event, Outcome};

use crate::context::Context;
use crate::failure::Failure;

fn main() -> ExitCode {
    // Ourselves, inside of a sandbox that we made: no request of anybody's.
    let mut words = std::env::args_os().skip(1);
    if words
        .next()
        .is_some_and(|word| word == clic_rootfs::inside::ARGUMENT)
        && let Some(job) = words.next()
    {
        return clic_rootfs::inside::main(job.as_ref());
    }
    // What a shell asks when somebody presses Tab: answered here, and over.
    completions::complete();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return output::usage(&error),
    };
    let context = Context::new(&args.global);
    match run(&args.command, &context) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Stopped) => Failure::of(clic_host::Cancelled.into()).report(&context),
        Err(error) => Failure::of(error).report(&context),
    }
}

fn run(command: &args::Command, context: &Context) -> anyhow::Result<Outcome> {
    use args::Command;
    root::refuse(command)?;
    let sink = context.sink();
    clic_host::cancel::install(move || sink.event(&Event::Stopping))?;
    match command {
        Command::Build(args) => build::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Lock(args) => lock::run(args, context),
        Command::Plan(args) => plan::run(args, context),
        Command::Test(args) => test::run(args, context),
        Command::Inspect(args) => inspect::run(args, context),
        Command::Diff(args) => diff::run(args, context),
        Command::Boards => boards::run(context),
        Command::Recipes => recipes::run(context),
        Command::Overlays(args) => overlays::run(args, context),
        Command::Content(args) => content::run(args, context),
        Command::Cache(args) => cache::run(args, context),
        Command::Doctor => doctor::run(context),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args, context),
    }
}
