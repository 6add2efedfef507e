//! `docs/elements.json`: what gst-inspect knows of our elements, in a form that a diff shows well.

use gst::glib;
use gst::prelude::*;
use serde_json::{Map, Value, json};

use crate::common;

/// Properties of GStreamer's own base classes differ from version to version, and are not ours to document.
const OURS: &str = "GstTorch";

#[test]
fn elements_json_says_what_the_elements_say() {
    common::init();
    let path = common::root().join("docs/elements.json");
    let elements: Map<_, _> = factories().into_iter().map(|name| (name.clone(), element(&name))).collect();
    let current = format!("{:#}\n", Value::Object(elements));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, current).expect("docs/ can be written");
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = current.lines().zip(written.lines()).find(|(current, written)| current != written);
    assert!(
        current == written,
        "docs/elements.json is out of date (`make docs` writes it anew); it differs first at {differs:?}"
    );
}

/// The names of the plugin's elements, in alphabetical order.
pub fn factories() -> Vec<String> {
    let mut names: Vec<_> = gst::Registry::get()
        .features_by_plugin("torch")
        .into_iter()
        .filter(|feature| feature.is::<gst::ElementFactory>())
        .map(|feature| feature.name().to_string())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "the plugin has no element");
    names
}

fn element(name: &str) -> Value {
    let factory = gst::ElementFactory::find(name).expect("a registered element");
    let element = factory.create().build().expect("an element can be made");
    let metadata = |key: &str| factory.metadata(key).map(String::from);
    let templates = factory.static_pad_templates();
    json!({
        "long-name": metadata("long-name"),
        "klass": metadata("klass"),
        "description": metadata("description"),
        "rank": i32::from(factory.rank()),
        "pad-templates": templates.iter().map(|template| (template.name_template().to_string(), json!({
            "direction": nick(template.direction().to_value()),
            "presence": nick(template.presence().to_value()),
            "caps": template.caps().iter().map(|structure| structure.to_string()).collect::<Vec<_>>(),
        }))).collect::<Map<_, _>>(),
        "properties": element
            .list_properties()
            .iter()
            .filter(|property| property.owner_type().name().starts_with(OURS))
            .map(|property| (property.name().to_string(), describe(property)))
            .collect::<Map<_, _>>(),
    })
}

fn describe(property: &glib::ParamSpec) -> Value {
    let flags = property.flags();
    let changeable = [
        (gst::PARAM_FLAG_MUTABLE_PLAYING, "playing"),
        (gst::PARAM_FLAG_MUTABLE_PAUSED, "paused"),
        (gst::PARAM_FLAG_MUTABLE_READY, "ready"),
    ];
    let access = [
        (glib::ParamFlags::READABLE, "readable"),
        (glib::ParamFlags::WRITABLE, "writable"),
        (glib::ParamFlags::CONSTRUCT_ONLY, "construct-only"),
        (gst::PARAM_FLAG_CONTROLLABLE, "controllable"),
    ];
    let mut described = Map::new();
    described.insert("blurb".into(), property.blurb().map(str::to_string).into());
    described.insert("type".into(), property.value_type().name().into());
    described.extend(range(property));
    described.insert("default".into(), text(property.default_value().clone()));
    let access: Vec<_> = access.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| *word).collect();
    described.insert("access".into(), access.join(", ").into());
    if flags.contains(glib::ParamFlags::WRITABLE) {
        let until = changeable.iter().find(|(flag, _)| flags.contains(*flag)).map_or("null", |(_, word)| word);
        described.insert("changeable-in".into(), until.into());
    }
    Value::Object(described)
}

/// The smallest and largest number, or the values of an enumeration with what they mean.
fn range(property: &glib::ParamSpec) -> Map<String, Value> {
    macro_rules! numbers {
        ($($kind:ident),*) => {
            $(if let Some(number) = property.downcast_ref::<glib::$kind>() {
                return bounds(text(number.minimum().to_value()), text(number.maximum().to_value()));
            })*
        };
    }
    numbers!(ParamSpecInt, ParamSpecUInt, ParamSpecInt64, ParamSpecUInt64, ParamSpecFloat, ParamSpecDouble);
    let mut range = Map::new();
    if let Some(class) = property.downcast_ref::<glib::ParamSpecEnum>().map(|property| property.enum_class()) {
        let values = class.values().iter().map(|value| (value.nick().to_string(), value.name().into()));
        range.insert("values".into(), Value::Object(values.collect()));
    }
    range
}

fn bounds(minimum: Value, maximum: Value) -> Map<String, Value> {
    Map::from_iter([("minimum".to_string(), minimum), ("maximum".to_string(), maximum)])
}

fn nick(value: glib::Value) -> String {
    glib::EnumValue::from_value(&value).map(|(_, value)| value.nick().to_string()).expect("an enumeration")
}

fn text(value: glib::Value) -> Value {
    if let Ok(number) = value.get::<f32>() {
        return number.to_string().into(); // GLib would print the digits of the double
    }
    if glib::EnumValue::from_value(&value).is_some() {
        return nick(value).into();
    }
    if value.type_().is_a(glib::Type::BOXED) {
        return Value::Null; // a structure's default is that there is none, which GStreamer cannot put into words
    }
    let text = value.transform::<Option<String>>().ok().and_then(|text| text.get::<Option<String>>().ok()).flatten();
    text.into()
}
