//! Just enough of JSON Schema to hold an answer against the API's description.

use serde_json::{Map, Value};

/// Holds `value` against `schema`; every complaint names its place.
pub fn check(openapi: &Value, schema: &Value, value: &Value, place: &str, complaints: &mut Vec<String>) {
    let schema = resolve(openapi, schema);
    if let Some(choices) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        let fits = |choice: &&Value| {
            let mut wrong = Vec::new();
            check(openapi, choice, value, place, &mut wrong);
            wrong.is_empty()
        };
        if !choices.iter().any(|choice| fits(&choice)) {
            complaints.push(format!("{place}: {value} fits no choice of {schema}"));
        }
        return;
    }
    if !has_type(schema, value) {
        complaints.push(format!("{place}: {value} is no {}", schema["type"]));
        return;
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        complaints.push(format!("{place}: {value} is none of {words:?}"));
    }
    if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str())
        && text.parse::<jiff::Timestamp>().is_err()
    {
        complaints.push(format!("{place}: {text} is no time"));
    }
    match value {
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                check(openapi, &schema["items"], item, &format!("{place}[{n}]"), complaints);
            }
        }
        Value::Object(fields) => check_object(openapi, schema, fields, place, complaints),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_object(openapi: &Value, schema: &Value, fields: &Map<String, Value>, place: &str, wrong: &mut Vec<String>) {
    let mut parts = Vec::new();
    collect_parts(openapi, schema, &mut parts);
    for part in &parts {
        for name in part["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                wrong.push(format!("{place}.{name} is required and missing"));
            }
        }
    }
    let described = parts.iter().any(|part| part.get("properties").is_some());
    for (name, value) in fields {
        let place = format!("{place}.{name}");
        let property = parts.iter().find_map(|part| part["properties"].get(name));
        let any_other = parts.iter().find_map(|part| part.get("additionalProperties"));
        match (property, any_other) {
            (Some(schema), _) | (None, Some(schema)) => check(openapi, schema, value, &place, wrong),
            (None, None) if described => wrong.push(format!("{place} is not described")),
            (None, None) => {}
        }
    }
}

/// The schema itself and all that it is made of with `allOf`.
fn collect_parts<'a>(openapi: &'a Value, schema: &'a Value, parts: &mut Vec<&'a Value>) {
    let schema = resolve(openapi, schema);
    parts.push(schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        collect_parts(openapi, part, parts);
    }
}

fn resolve<'a>(openapi: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(target) => {
            let found = openapi.pointer(target.trim_start_matches('#'));
            resolve(openapi, found.unwrap_or_else(|| panic!("{target} leads nowhere")))
        }
        None => schema,
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |name: &str| match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
        Value::Number(number) => name == "number" || (name == "integer" && !number.is_f64()),
    };
    match &schema["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

#[test]
fn what_is_missing_undescribed_or_of_another_type_is_complained_of() {
    let schema = serde_json::json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}});
    let wrong = |value: Value| {
        let mut complaints = Vec::new();
        check(&Value::Null, &schema, &value, "", &mut complaints);
        complaints.len()
    };
    assert_eq!(wrong(serde_json::json!({"a": 1})), 0);
    assert_eq!(wrong(serde_json::json!({"a": 1.5})), 1);
    assert_eq!(wrong(serde_json::json!({"a": 1, "b": 2})), 1);
    assert_eq!(wrong(serde_json::json!({"b": 2})), 2);
    assert_eq!(wrong(serde_json::json!([])), 1);
}
