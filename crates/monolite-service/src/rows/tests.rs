use super::*;
use crate::caller::UserId;
use crate::json::Json;
use monolite_store::rusqlite::{Connection, params};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

fn first<T: DeserializeOwned>(sql: &str) -> Result<T, String> {
    let connection = Connection::open_in_memory().unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    read(rows.next().unwrap().unwrap(), Columns::Unseen).map_err(|e| e.to_string())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    title: String,
    servings: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Open,
    Placed,
}

#[test]
fn columns_become_fields_by_name_in_any_order() {
    let expected = Head { title: "tea".into(), servings: 2 };
    assert_eq!(first::<Head>("SELECT 'tea' AS title, 2 AS servings").unwrap(), expected);
    assert_eq!(first::<Head>("SELECT 2 AS servings, 'tea' AS title").unwrap(), expected);
}

#[test]
fn a_missing_an_extra_and_a_double_column_are_named() {
    let missing = first::<Head>("SELECT 'tea' AS title").unwrap_err();
    assert!(missing.contains("no column for the field `servings` of Head"), "{missing}");
    let extra = first::<Head>("SELECT 'tea' AS title, 2 AS servings, 3 AS stars").unwrap_err();
    assert!(extra.contains("the column `stars` has no field in Head"), "{extra}");
    let double = first::<Head>("SELECT 'tea' AS title, 2 AS servings, 3 AS servings").unwrap_err();
    assert!(double.contains("two columns `servings`"), "{double}");
}

#[test]
fn a_missing_column_is_an_error_for_an_optional_field_too() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Contact {
        name: String,
        mail: Option<String>,
    }
    assert!(first::<Contact>("SELECT 'ann' AS name").unwrap_err().contains("`mail`"));
    assert_eq!(first::<Contact>("SELECT 'ann' AS name, NULL AS mail").unwrap().mail, None);
}

#[test]
fn a_wrong_type_names_its_column() {
    let wrong = first::<Head>("SELECT 'tea' AS title, 'two' AS servings").unwrap_err();
    assert!(wrong.contains("column `servings`: it is a TEXT, not an INTEGER"), "{wrong}");
    let range = first::<Head>("SELECT 'tea' AS title, -1 AS servings").unwrap_err();
    assert!(range.contains("column `servings`") && range.contains("-1"), "{range}");
    assert!(first::<bool>("SELECT 2").unwrap_err().contains("a bool is 0 or 1"));
}

#[test]
fn a_single_column_becomes_a_plain_value() {
    assert_eq!(first::<i64>("SELECT -7").unwrap(), -7);
    assert_eq!(first::<Option<i64>>("SELECT NULL").unwrap(), None);
    assert_eq!(first::<Option<String>>("SELECT 'x'").unwrap(), Some("x".into()));
    assert_eq!(first::<State>("SELECT 'placed'").unwrap(), State::Placed);
    assert!(first::<bool>("SELECT 1").unwrap());
    assert_eq!(first::<f64>("SELECT 2").unwrap(), 2.0);
    assert!(first::<i64>("SELECT 1 AS a, 2 AS b").unwrap_err().contains("the columns are a, b"));
}

#[test]
fn tuples_go_by_position() {
    assert_eq!(first::<(String, i64)>("SELECT 'a', 1").unwrap(), ("a".into(), 1));
    assert!(first::<(String, i64)>("SELECT 'a', 1, 2").is_err());
}

#[test]
fn blobs_of_sixteen_bytes_are_ids() {
    let id = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);
    let sql = format!("SELECT x'{}'", id.simple());
    assert_eq!(first::<Uuid>(&sql).unwrap(), id);
    assert_eq!(first::<UserId>(&sql).unwrap(), UserId(id));
    assert_eq!(first::<String>(&sql).unwrap(), id.to_string());
    assert_eq!(first::<Vec<u8>>("SELECT x'010203'").unwrap(), [1, 2, 3]);
    assert_eq!(first::<bytes::Bytes>("SELECT x'010203'").unwrap().as_ref(), [1, 2, 3]);
    assert!(first::<Uuid>("SELECT x'010203'").is_err());
}

#[test]
fn a_text_of_json_passes_unparsed_or_becomes_what_is_asked() {
    #[derive(Debug, Deserialize)]
    struct Document {
        id: i64,
        content: Json,
        lines: Vec<Head>,
    }
    let sql = r#"SELECT 1 AS id, '{ "a" : [1, 2] }' AS content, '[{"title":"tea","servings":2}]' AS lines"#;
    let document: Document = first(sql).unwrap();
    assert_eq!(document.content.as_str(), r#"{ "a" : [1, 2] }"#);
    assert_eq!(document.lines, [Head { title: "tea".into(), servings: 2 }]);
    assert_eq!(document.id, 1);
    assert_eq!(serde_json::to_string(&document.content).unwrap(), r#"{ "a" : [1, 2] }"#);
    assert!(first::<Vec<i64>>("SELECT '[1, 2'").unwrap_err().contains("JSON"));
    assert_eq!(first::<Option<Json>>("SELECT NULL").unwrap(), None);
}

proptest! {
    #[test]
    fn what_was_bound_comes_back(i: i64, r in -1e300..1e300f64, t: String, b: Vec<u8>, flag: bool, o: Option<i64>) {
        #[derive(Debug, PartialEq, Deserialize)]
        struct All { i: i64, r: f64, t: String, b: Vec<u8>, flag: bool, o: Option<i64> }
        let connection = Connection::open_in_memory().unwrap();
        let mut statement = connection.prepare("SELECT ? AS i, ? AS r, ? AS t, ? AS b, ? AS flag, ? AS o").unwrap();
        let mut rows = statement.query(params![i, r, t, b, flag, o]).unwrap();
        let back: All = read(rows.next().unwrap().unwrap(), Columns::Unseen).unwrap();
        prop_assert_eq!(back, All { i, r, t, b, flag, o });
    }
}
