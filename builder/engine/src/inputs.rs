//! What shapes a layer: its own inputs, over those of the layers below.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use clic_archive::Package;
use clic_host::Sha256;
use serde::{Deserialize, Serialize};

/// Everything that shapes a layer: what shapes the layers below it, lowest first, and its own inputs in their order. An input is a
/// name for people, and a value that differs when it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    below: Vec<Vec<Input>>,
    own: Vec<Input>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Input(String, String);

impl Inputs {
    /// Those of a layer over the one that `self` shapes: none of its own yet.
    #[must_use]
    pub fn above(&self) -> Self {
        let own = std::iter::once(&self.own);
        Self {
            below: self.below.iter().chain(own).cloned().collect(),
            own: Vec::new(),
        }
    }

    /// The layers below alone, for a layer that is looked at in another way.
    #[must_use]
    pub fn below(&self) -> Self {
        Self {
            below: self.below.clone(),
            own: Vec::new(),
        }
    }

    /// Notes one input after the others: `package bash`, `5.2.15-2+b7 ...`.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.own.push(Input(name.into(), value.into()));
    }

    /// Notes exactly which package it is.
    pub fn add_package(&mut self, package: &Package) {
        self.add(
            format!("package {}", package.name),
            format!("{} {} {}", package.version, package.arch, package.sha256),
        );
    }

    /// The layer's key: the hash of the key of the layer below and the layer's own inputs, as they follow one another.
    pub fn key(&self) -> Result<Sha256> {
        // Below the lowest layer is nothing.
        let mut below = String::new();
        for inputs in &self.below {
            below = key(&below, inputs)?.to_string();
        }
        key(&below, &self.own)
    }

    /// What is different from `before`, for people: `file /etc/motd of base changed`. What is different in a layer below counts as
    /// well: it is why this one has to be made.
    pub fn difference(&self, before: &Self) -> String {
        const SHOWN: usize = 3;
        let (then, now) = (before.by_name(), self.by_name());
        let names: BTreeSet<&str> = then.keys().chain(now.keys()).copied().collect();
        let mut found: Vec<String> = names
            .into_iter()
            .filter_map(|name| change(name, then.get(name), now.get(name)))
            .collect();
        if found.is_empty() {
            found.push(self.moved(before));
        }
        let more = found.len().saturating_sub(SHOWN);
        found.truncate(SHOWN);
        let mut text = found.join(", ");
        if more > 0 {
            text += &format!(", and {more} more");
        }
        text
    }

    fn all(&self) -> impl Iterator<Item = &Input> {
        self.below.iter().flatten().chain(&self.own)
    }

    /// The values of each name, in their order.
    fn by_name(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Input(name, value) in self.all() {
            by_name.entry(name).or_default().push(value);
        }
        by_name
    }

    /// The first input that has come before another one.
    fn moved(&self, before: &Self) -> String {
        let mut both = self.all().zip(before.all());
        match both.find(|(now, then)| now != then) {
            Some((now, then)) => format!("in another order: {} comes before {}", now.0, then.0),
            None => "the same in other layers".to_owned(),
        }
    }
}

fn key(below: &str, own: &[Input]) -> Result<Sha256> {
    Ok(Sha256::of(serde_json::to_vec(&(below, own))?))
}

/// What happened to the input `name`, if anything did.
fn change(name: &str, before: Option<&Vec<&str>>, now: Option<&Vec<&str>>) -> Option<String> {
    let version = |values: &[&str]| {
        values
            .iter()
            .find_map(|value| value.split(' ').next())
            .map(str::to_owned)
    };
    match (before, now) {
        (None, _) => Some(format!("{name} is new")),
        (_, None) => Some(format!("{name} is gone")),
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => match (version(old), version(new)) {
            (Some(old), Some(new)) if name.starts_with("package ") && old != new => {
                Some(format!("{name}: {old} -> {new}"))
            }
            _ => Some(format!("{name} changed")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(all: &[(&str, &str)]) -> Inputs {
        let mut inputs = Inputs::default();
        for (name, value) in all {
            inputs.add(*name, *value);
        }
        inputs
    }

    #[test]
    fn differences_are_said_for_people() {
        let before = inputs(&[
            ("package bash", "5.1 aa"),
            ("file /etc/motd", "aa"),
            ("unit x", "enabled"),
        ]);
        let now = inputs(&[
            ("package bash", "5.2 bb"),
            ("file /etc/motd", "bb"),
            ("epoch", "7"),
        ]);
        assert_eq!(
            now.difference(&before),
            "epoch is new, file /etc/motd changed, package bash: 5.1 -> 5.2, and 1 more"
        );
        assert_ne!(now.key().unwrap(), before.key().unwrap());
    }

    #[test]
    fn a_key_is_of_the_layer_below_and_of_the_order() {
        let over = |below: &Inputs, name: &str| {
            let mut inputs = below.above();
            inputs.add(name, "x");
            inputs
        };
        let base = inputs(&[("engine", "1")]);
        let (ab, ba) = (over(&over(&base, "a"), "b"), over(&over(&base, "b"), "a"));
        assert_ne!(ab.key().unwrap(), ba.key().unwrap());
        let swapped = inputs(&[("b", "x"), ("a", "x")]);
        assert_ne!(
            inputs(&[("a", "x"), ("b", "x")]).key().unwrap(),
            swapped.key().unwrap()
        );
        // Neither do two inputs of one name overwrite each other, nor is it the same where one layer ends.
        let twice = inputs(&[("a", "x"), ("a", "y")]);
        assert_ne!(twice.key().unwrap(), inputs(&[("a", "y")]).key().unwrap());
        assert_ne!(
            over(&base, "a").key().unwrap(),
            inputs(&[("engine", "1"), ("a", "x")]).key().unwrap()
        );
    }

    #[test]
    fn what_is_different_below_is_said_above() {
        let below = |version: &str| inputs(&[("package bash", version)]);
        let above = |version: &str| {
            let mut inputs = below(version).above();
            inputs.add("step one", "x");
            inputs
        };
        assert_eq!(above("2 b").difference(&above("1 a")), "package bash: 1 -> 2");
        let (ab, ba) = (
            inputs(&[("a", "x"), ("b", "x")]),
            inputs(&[("b", "x"), ("a", "x")]),
        );
        assert_eq!(ba.difference(&ab), "in another order: b comes before a");
    }
}
