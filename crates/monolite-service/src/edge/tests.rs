use super::*;
use crate::json::Json;
use crate::page::PageOf;
use crate::{Failure, Message, Uuid, message};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Ingredient {
    name: String,
    grams: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Everything {
    id: Uuid,
    guests: Option<u32>,
    #[serde(default)]
    on: bool,
    #[serde(default)]
    ids: Vec<i64>,
    #[serde(default)]
    ingredients: Vec<Ingredient>,
    extra: Option<Json>,
    #[serde(default)]
    notes: BTreeMap<String, i64>,
}
message!(Everything => ());

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct List {
    scope: Option<Scope>,
    page: PageOf,
    if_match: Option<u64>,
}
message!(List => ());

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    User,
    System,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Nothing {}
message!(Nothing => ());

const ID: &str = "01920000-0000-7000-8000-000000000001";

fn read<M: Message>(fields: &[(&str, &str)], body: Option<&str>) -> Result<M, Failure> {
    Request { fields, body: body.map(str::as_bytes), ..Request::default() }.read(&Takes::of::<M>())
}

/// The field and the text of what is wrong.
fn wrong<M: Message + std::fmt::Debug>(fields: &[(&str, &str)], body: Option<&str>) -> (String, String) {
    let failure = read::<M>(fields, body).unwrap_err();
    (failure.fields()[0].field.clone(), failure.fields()[0].detail.clone())
}

#[test]
fn a_message_is_filled_from_path_query_and_body() {
    let body = r#"{"ingredients":[{"name":"tea","grams":2}],"extra":{"a" : 1},"notes":{"x":1}}"#;
    let m: Everything = read(&[("id", ID), ("guests", "6"), ("on", "true"), ("ids", "1,-2,3")], Some(body)).unwrap();
    assert_eq!((m.id.to_string().as_str(), m.guests, m.on, &m.ids[..]), (ID, Some(6), true, &[1, -2, 3][..]));
    assert_eq!(m.ingredients, [Ingredient { name: "tea".into(), grams: Some(2.0) }]);
    assert_eq!(m.extra.unwrap().as_str(), r#"{"a" : 1}"#);
    assert_eq!(m.notes["x"], 1);
}

#[test]
fn unknown_fields_are_refused_wherever_they_are() {
    assert_eq!(wrong::<Everything>(&[("id", ID), ("guest", "6")], None).0, "guest");
    assert_eq!(wrong::<Everything>(&[("id", ID)], Some(r#"{"guest":6}"#)).0, "guest");
    let (field, detail) = wrong::<Everything>(&[("id", ID)], Some(r#"{"ingredients":[{"name":"a"},{"nam":"b"}]}"#));
    assert_eq!(field, "ingredients[1]");
    assert!(detail.contains("unknown field `nam`"), "{detail}");
    assert_eq!(wrong::<Nothing>(&[("x", "1")], None).0, "x");
    assert_eq!(wrong::<Nothing>(&[], Some(r#"{"x":1}"#)).0, "x");
}

#[test]
fn a_field_given_twice_is_refused() {
    let twice = ("guests".to_owned(), "is given twice".to_owned());
    assert_eq!(wrong::<Everything>(&[("id", ID), ("guests", "6"), ("guests", "6")], None), twice);
    assert_eq!(wrong::<Everything>(&[("id", ID), ("guests", "6")], Some(r#"{"guests":6}"#)), twice);
    assert_eq!(wrong::<Everything>(&[("id", ID)], Some(r#"{"guests":6,"guests":7}"#)), twice);
    assert_eq!(wrong::<Everything>(&[], Some(&format!(r#"{{"guests":6,"id":"{ID}","guests":7}}"#))), twice);
    assert_eq!(wrong::<List>(&[("limit", "6"), ("limit", "7")], None).0, "limit");
}

#[test]
fn a_wrong_type_names_the_field() {
    assert_eq!(wrong::<Everything>(&[("id", ID), ("guests", "six")], None).0, "guests");
    assert_eq!(wrong::<Everything>(&[("id", ID), ("guests", "-6")], None).0, "guests");
    assert_eq!(wrong::<Everything>(&[("id", "no-id")], None).0, "id");
    assert_eq!(wrong::<Everything>(&[("id", ID), ("ids", "1,x")], None).0, "ids");
    assert_eq!(wrong::<Everything>(&[("id", ID), ("on", "yes")], None).0, "on");
    assert_eq!(wrong::<Everything>(&[("id", ID), ("ingredients", "x")], None).0, "ingredients");
    assert_eq!(wrong::<Everything>(&[("id", ID)], Some(r#"{"guests":"6"}"#)).0, "guests");
    let body = r#"{"ingredients":[{"name":"a","grams":"much"}]}"#;
    assert_eq!(wrong::<Everything>(&[("id", ID)], Some(body)).0, "ingredients[0].grams");
    assert_eq!(wrong::<Everything>(&[], None), ("id".to_owned(), "is missing".to_owned()));
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for body in ["[]", "7", "{", r#"{"guests":6"#, r#"{"guests":6} x"#, "\u{1}", "null"] {
        let (field, detail) = wrong::<Everything>(&[("id", ID)], Some(body));
        assert!(field.is_empty() || field == "guests", "{body}: {field} {detail}");
    }
    assert!(read::<Everything>(&[("id", ID)], Some("  ")).is_ok());
    assert!(read::<Nothing>(&[], Some("{}")).is_ok());
    assert!(read::<Nothing>(&[], None).is_ok());
}

#[test]
fn page_and_precondition_are_filled_by_convention_only() {
    let m: List = read(&[("limit", "7"), ("scope", "system"), ("cursor", "abc")], None).unwrap();
    assert_eq!(m, List { scope: Some(Scope::System), page: PageOf::first(7).after("abc"), if_match: None });
    assert_eq!(read::<List>(&[], None).unwrap().page, PageOf::default());
    assert_eq!(wrong::<List>(&[("page", "7")], None).0, "page");
    assert_eq!(wrong::<List>(&[], Some(r#"{"page":{}}"#)).0, "page");
    assert_eq!(wrong::<List>(&[], Some(r#"{"if_match":1}"#)).0, "if_match");
    assert_eq!(wrong::<List>(&[("limit", "x")], None).0, "limit");
    assert_eq!(wrong::<List>(&[("scope", "all")], None), ("scope".into(), "is not one of user, system".into()));
    let request = Request { if_match: Some(17), ..Request::default() };
    assert_eq!(request.read::<List>(&Takes::of::<List>()).unwrap().if_match, Some(17));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(body: Vec<u8>, name: String, text: String) {
        let fields = [("id", ID), (&*name, &*text)];
        let _ = Request { fields: &fields, body: Some(&body), ..Request::default() }.read::<Everything>(&Takes::default());
    }

    #[test]
    fn a_message_survives_its_own_json(guests: Option<u32>, on: bool, ids: Vec<i64>, name: String) {
        let m = Everything {
            id: ID.parse().unwrap(), guests, on, ids, notes: BTreeMap::new(),
            ingredients: vec![Ingredient { name, grams: None }], extra: Json::parse("[null]").ok(),
        };
        let body = serde_json::to_string(&m).unwrap();
        prop_assert_eq!(read::<Everything>(&[], Some(&body)).unwrap(), m);
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Put {
    id: Uuid,
    title: Option<String>,
    body: Json,
}
message!(Put => ());

#[test]
fn a_field_named_body_is_the_whole_body() {
    for text in ["1", "[1, 2]", r#"{"title":"of the document","body":{},"zz":null}"#, r#""text""#, "null"] {
        let put: Put = read(&[("id", ID), ("title", "its own")], Some(text)).unwrap();
        assert_eq!((put.body.as_str(), put.title.as_deref()), (text, Some("its own")));
    }
    assert_eq!(wrong::<Put>(&[("id", ID), ("body", "1")], Some("2")).0, "body");
    assert_eq!(wrong::<Put>(&[("id", ID), ("titel", "x")], Some("2")).0, "titel");
    for text in ["", "{", "1 2", "{'a':1}", "\u{feff}1"] {
        assert_eq!(wrong::<Put>(&[("id", ID)], Some(text)).0, "body", "{text:?}");
    }
}
