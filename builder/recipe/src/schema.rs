//! JSON Schemas of the kinds of files, for editors.

use schemars::generate::SchemaSettings;

use crate::raw::{RawBoard, RawBundle, RawOverlay, RawRecipe};

/// File names under `schemas/` and their texts.
pub fn schemas() -> Vec<(&'static str, String)> {
    // Draft 7 is what TOML editors (taplo, Even Better TOML) understand.
    let settings = SchemaSettings::draft07();
    let generator = || settings.clone().into_generator();
    [
        (
            "board.schema.json",
            generator().into_root_schema_for::<RawBoard>(),
        ),
        (
            "bundle.schema.json",
            generator().into_root_schema_for::<RawBundle>(),
        ),
        (
            "overlay.schema.json",
            generator().into_root_schema_for::<RawOverlay>(),
        ),
        (
            "recipe.schema.json",
            generator().into_root_schema_for::<RawRecipe>(),
        ),
    ]
    .into_iter()
    .map(|(name, schema)| (name, format!("{:#}\n", schema.to_value())))
    .collect()
}
