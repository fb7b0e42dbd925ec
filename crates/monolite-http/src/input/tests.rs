use super::*;
use proptest::prelude::*;
use serde_json::json;

fn recipe() -> Shapes {
    Shapes::of(&json!({
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "servings": {"type": "integer"},
            "note": {"type": ["string", "null"]},
            "cook": {"anyOf": [{"$ref": "#/$defs/Cook"}, {"type": "null"}]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            "any": true,
            "by_name": {"type": "object", "additionalProperties": {"type": "boolean"}}
        },
        "required": ["title"],
        "$defs": {
            "Line": {"type": "object", "properties": {"name": {"type": "string"}, "grams": {"type": "number"},
                     "inner": {"type": "array", "items": {"$ref": "#/$defs/Line"}}}, "required": ["name"]},
            "Cook": {"type": "object", "properties": {"name": {"type": "string"}}}
        }
    }))
}

fn check(text: &[u8], given: &[&str]) -> Result<Option<String>, (String, String)> {
    let shapes = recipe();
    let expected = Expected { shapes: &shapes, root: shapes.root(), depth_max: 8, given };
    match scan(text, &expected) {
        Ok(inner) => Ok(inner.map(|inner| String::from_utf8(text[inner].to_vec()).unwrap())),
        Err(fault) => Err((fault.code.to_owned(), fault.pointer.unwrap_or_default())),
    }
}

#[test]
fn what_fits_passes() {
    for good in [
        r#"{"title":"Pie"}"#,
        " \n{ \"title\" : \"P\\u00efe \\n\" , \"servings\" : -4 } \t",
        r#"{"title":"Pie","note":null,"cook":null,"lines":[],"any":{"a":[1,{"a":1}],"b":-0.5e+9}}"#,
        r#"{"title":"Pie","cook":{"name":"Ann"},"lines":[{"name":"a","grams":1},{"name":"b","grams":1.5e3,"inner":[{"name":"c"}]}]}"#,
        r#"{"by_name":{"a":true,"b":false},"title":"é😀"}"#,
    ] {
        assert!(check(good.as_bytes(), &[]).is_ok(), "{good}: {:?}", check(good.as_bytes(), &[]));
        assert!(serde_json::from_str::<serde_json::Value>(good).is_ok());
    }
}

#[test]
fn the_members_are_found_between_the_braces() {
    assert_eq!(check(br#" {"title":"x"} "#, &[]), Ok(Some(r#""title":"x""#.to_owned())));
    assert_eq!(check(b"{}", &["title"]), Ok(Some(String::new())));
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    for (bad, code, pointer) in [
        ("", "malformed_json", ""),
        ("{", "malformed_json", ""),
        (r#"{"title":"a"} x"#, "malformed_json", ""),
        (r#"{"title":"a",}"#, "malformed_json", ""),
        (r#"{"title" "a"}"#, "malformed_json", ""),
        (r#"{title:"a"}"#, "malformed_json", ""),
        (r#"{"title":'a'}"#, "malformed_json", ""),
        ("{\"title\":\"a\nb\"}", "malformed_json", ""),
        (r#"{"title":"\x"}"#, "malformed_json", ""),
        (r#"{"title":"a","any":"\u12g4"}"#, "malformed_json", ""),
        (r#"{"title":"a","any":01}"#, "malformed_json", ""),
        (r#"{"title":"a","any":1.}"#, "malformed_json", ""),
        (r#"{"title":"a","any":-}"#, "malformed_json", ""),
        (r#"{"title":"a","any":1e}"#, "malformed_json", ""),
        (r#"{"title":"a","any":nul}"#, "malformed_json", ""),
        (r#"{"title":"a","any":NaN}"#, "malformed_json", ""),
        (r#"{"title":"a","any":[1 2]}"#, "malformed_json", ""),
        (r#"{"title":"a","any":[1,]}"#, "malformed_json", ""),
        (r#"{"title":"a"]"#, "malformed_json", ""),
        (r#"{"title":"a","lines":[{"name":"b"}, {"name":"c","name":"d"}]}"#, "duplicate_field", "/lines/1/name"),
        (r#"{"title":"a","titl\u0065":"b"}"#, "duplicate_field", "/title"),
        (r#"{"title":"a","any":{"x":{"y":1,"y":2}}}"#, "duplicate_field", "/any/x/y"),
        (r#"{"title":"a","tilte":"b"}"#, "unknown_field", "/tilte"),
        (r#"{"title":"a","lines":[{"name":"b","gram":1}]}"#, "unknown_field", "/lines/0/gram"),
        (r#"{"title":"a","cook":{"a/b~":1}}"#, "unknown_field", "/cook/a~1b~0"),
        (r#"{"title":"a","lines":[{"name":"b","inner":[{"name":"c","x":1}]}]}"#, "unknown_field", "/lines/0/inner/0/x"),
        (r#"{"title":7}"#, "wrong_type", "/title"),
        (r#"{"title":null}"#, "wrong_type", "/title"),
        (r#"{"title":["a"]}"#, "wrong_type", "/title"),
        (r#"{"title":{"a":1}}"#, "wrong_type", "/title"),
        (r#"{"title":"a","servings":"4"}"#, "wrong_type", "/servings"),
        (r#"{"title":"a","servings":4.5}"#, "wrong_type", "/servings"),
        (r#"{"title":"a","lines":{}}"#, "wrong_type", "/lines"),
        (r#"{"title":"a","lines":[{"name":"b"},7]}"#, "wrong_type", "/lines/1"),
        (r#"{"title":"a","by_name":{"a":true,"b":1}}"#, "wrong_type", "/by_name/b"),
        (r#"[]"#, "wrong_type", ""),
        (r#""title""#, "wrong_type", ""),
        (r#"{}"#, "missing_field", "/title"),
        (r#"{"title":"a","lines":[{"grams":1}]}"#, "missing_field", "/lines/0/name"),
        (r#"{"title":"a","any":[[[[[[[[1]]]]]]]]}"#, "too_deep", "/any/0/0/0/0/0/0/0"),
    ] {
        assert_eq!(check(bad.as_bytes(), &[]), Err((code.to_owned(), pointer.to_owned())), "{bad}");
    }
    assert_eq!(check(b"{\"title\":\"\xff\"}", &[]), Err(("bad_utf8".to_owned(), String::new())));
}

#[test]
fn a_member_given_in_the_path_may_not_come_again_and_is_not_missing() {
    assert_eq!(check(br#"{"title":"x"}"#, &["title"]), Err(("duplicate_field".to_owned(), "/title".to_owned())));
    assert!(check(br#"{"servings":1}"#, &["title"]).is_ok());
    assert!(check(br#"{"any":{"title":1}}"#, &["title"]).is_ok());
}

#[test]
fn an_object_of_many_members_finds_duplicates_and_missing_members_too() {
    let many = |extra: &str| {
        let members: Vec<String> = (0..5000).map(|n| format!("\"m{n}\":[{n}]")).collect();
        format!("{{\"any\":{{{}{extra}}},\"title\":\"x\"}}", members.join(","))
    };
    assert!(check(many("").as_bytes(), &[]).is_ok());
    for n in [0, 23, 24, 25, 4999] {
        let again = many(&format!(",\"m{n}\":1"));
        assert_eq!(check(again.as_bytes(), &[]), Err(("duplicate_field".to_owned(), format!("/any/m{n}"))));
    }
    let after = many(",\"x\":[1,tru]");
    assert_eq!(check(after.as_bytes(), &[]).unwrap_err().0, "malformed_json");
}

#[test]
fn depth_is_no_recursion() {
    let deep = "[".repeat(1_000_000);
    let shapes = Shapes::of(&json!(true));
    let expected = Expected { shapes: &shapes, root: shapes.root(), depth_max: usize::MAX, given: &[] };
    assert_eq!(scan(deep.as_bytes(), &expected).unwrap_err().code, "malformed_json");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Texts made of the pieces JSON is made of; most are not JSON.
    #[test]
    fn the_scanner_and_the_decoder_agree_on_what_is_json(pieces in prop::collection::vec(0..PIECES.len(), 0..14)) {
        let text: String = pieces.into_iter().map(|n| PIECES[n]).collect();
        let shapes = Shapes::of(&json!(true));
        let expected = Expected { shapes: &shapes, root: shapes.root(), depth_max: 100, given: &[] };
        let scanned = scan(text.as_bytes(), &expected);
        let decoded = serde_json::from_str::<serde::de::IgnoredAny>(&text);
        match scanned {
            Err(fault) if fault.code == "duplicate_field" => {}
            scanned => prop_assert_eq!(scanned.is_ok(), decoded.is_ok(), "{}", text),
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes: Vec<u8>, depth_max in 0_usize..5) {
        let shapes = recipe();
        let _ = scan(&bytes, &Expected { shapes: &shapes, root: shapes.root(), depth_max, given: &["title"] });
    }
}

const PIECES: [&str; 26] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"a\"",
    "\"b\"",
    "\"a\":",
    "\"b\":1",
    "1",
    "-0.5e3",
    "-",
    "0",
    "01",
    "1.",
    "2E",
    "true",
    "nul",
    "null",
    " ",
    "\n",
    "\"\\u00e9\\n\"",
    "\"",
    "\\",
    "é",
];
