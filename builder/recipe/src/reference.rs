//! The reference of overlays, as a page for people.

use std::fmt::Write as _;

use crate::listing::OverlayInfo;
use crate::parameter::ParameterInfo;
use crate::plan::Value;

impl ParameterInfo {
    /// What it accepts, in words: `a whole number from 1 to 2007`.
    pub fn accepts(&self) -> String {
        let kind = match self.kind {
            "integer" => "a whole number",
            "boolean" => "true or false",
            "list" => "a list of text",
            _ => "text",
        };
        let range = match (self.min, self.max) {
            (Some(min), Some(max)) => format!(" from {min} to {max}"),
            (Some(min), None) => format!(", {min} or more"),
            (None, Some(max)) => format!(", {max} or less"),
            (None, None) => String::new(),
        };
        let choices = self.choices.as_ref().map(|choices| {
            let of = if self.kind == "list" { " of" } else { ":" };
            format!("{of} {}", choices.join(", "))
        });
        format!("{kind}{range}{}", choices.unwrap_or_default())
    }

    /// Its default, as one would write it in a recipe; none if a recipe must say it.
    pub fn default_written(&self) -> Option<String> {
        self.default.as_ref().map(Value::written)
    }
}

impl Value {
    /// As one would write it in a recipe.
    pub fn written(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::String(value) => format!("{value:?}"),
            Self::List(values) => format!("{values:?}"),
        }
    }
}

/// `docs/reference/overlays.md`.
pub fn overlays_page(overlays: &[OverlayInfo]) -> String {
    let mut page = "# Overlays\n\nWhat each overlay is for, and its parameters. A recipe lists overlays in `overlays`, and sets their \
                    parameters in\n`[parameters.NAME]`. `clic overlays NAME` shows the same in the terminal.\n\nThis page is generated \
                    from the `overlay.toml` files.\n"
        .to_owned();
    for overlay in overlays {
        // Writing to a String cannot fail.
        let _ = write_overlay(&mut page, overlay);
    }
    page
}

fn write_overlay(page: &mut String, overlay: &OverlayInfo) -> std::fmt::Result {
    let code = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    writeln!(
        page,
        "\n## {}\n\n**{}**\n\n{}",
        overlay.name,
        overlay.title,
        overlay.description.trim()
    )?;
    let mut facts = Vec::new();
    if !overlay.requires.is_empty() {
        facts.push(format!("Needs: {}.", code(&overlay.requires)));
    }
    if !overlay.provides.is_empty() {
        let provides: Vec<String> = overlay.provides.iter().map(ToString::to_string).collect();
        facts.push(format!("Provides: {}.", code(&provides)));
    }
    if !overlay.packages.is_empty() {
        facts.push(format!("Packages: {}.", code(&overlay.packages)));
    }
    for (arch, packages) in &overlay.packages_on {
        facts.push(format!("On {arch} also: {}.", code(packages)));
    }
    for fact in facts {
        write!(page, "\n{fact}\n")?;
    }
    if overlay.parameters.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\n| parameter | meaning | accepts | default |\n|---|---|---|---|"
    )?;
    for (name, parameter) in &overlay.parameters {
        let default = parameter
            .default_written()
            .map_or("must be set".to_owned(), |default| format!("`{default}`"));
        let pattern = parameter.pattern.as_ref();
        let pattern = pattern.map_or(String::new(), |pattern| format!(" that matches `{pattern}`"));
        let cells = [
            format!("`{name}`"),
            parameter.description.clone(),
            format!("{}{pattern}", parameter.accepts()),
            default,
        ];
        let cells = cells.map(|cell| cell.trim().replace('|', "\\|").replace('\n', " "));
        writeln!(page, "| {} |", cells.join(" | "))?;
    }
    Ok(())
}
