//! The files as people write them, before any value is checked.
//!
//! The doc comments of these types are the descriptions of the JSON Schemas: editors show them to the people who
//! write recipes.

mod board;
mod bundle;
mod overlay;
mod recipe;
mod service;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use crate::source::{Origin, Sited, SourceFile};

pub(crate) use board::{RawBoard, RawDisk, RawEmulate, RawPartition, RawPower};
pub(crate) use bundle::{RawBundle, RawItem};
pub(crate) use overlay::{
    ParameterType, RawCheck, RawEffect, RawFile, RawOverlay, RawParameter, RawPlace, RawProvides, RawRule,
    RawUnit,
};
pub(crate) use recipe::{RawRecipe, RawSource, RawValue};
pub(crate) use service::RawService;

/// A value with its place in the file. Compares by value.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    span: Range<usize>,
}

impl<T> At<T> {
    pub(crate) fn origin(&self, file: &Arc<SourceFile>) -> Origin {
        file.at(self.span.clone())
    }

    pub(crate) fn sited(self, file: &Arc<SourceFile>) -> Sited<T> {
        Sited {
            origin: file.at(self.span),
            value: self.value,
        }
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: PartialOrd> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self {
            span: spanned.span(),
            value: spanned.into_inner(),
        })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
