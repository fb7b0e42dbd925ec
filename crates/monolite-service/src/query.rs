//! Queries with optional filters: constant texts and bound values, nothing else.
//!
//! **Invariants**
//! - No value ever enters the text of a statement.
//! - A condition whose value is absent is absent, so each combination of filters is one cached statement.

use monolite_store::rusqlite::ToSql;
use monolite_store::rusqlite::types::{ToSqlOutput, Value, ValueRef};

/// A query with optional filters. Made by [`sql`].
#[derive(Debug, Clone)]
pub struct Query {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
    pub(crate) wrong: Option<String>,
}

/// Begins a query. The text ends inside a WHERE clause (`WHERE 1` if nothing always holds), and each `?` in it is
/// bound by [`Query::bind`], in order:
///
/// ```
/// # use monolite_service::sql;
/// # let (owner, prefix) = (Some(7_i64), None::<String>);
/// let q = sql("SELECT id, title FROM recipes WHERE 1")
///     .and("owner_id = ?", owner)
///     .and("substr(title, 1, length(?)) = ?", prefix);
/// assert_eq!(q.text(), "SELECT id, title FROM recipes WHERE 1 AND (owner_id = ?1)");
/// ```
pub fn sql(text: &'static str) -> Query {
    Query { text: text.to_owned(), values: Vec::new(), wrong: None }
}

impl Query {
    /// Binds the next `?` of the first text.
    pub fn bind(mut self, value: impl ToSql) -> Self {
        self.push(&value);
        self
    }

    /// Adds a condition if there is a value; each `?` in the condition stands for this value.
    pub fn and<V: ToSql>(mut self, condition: &'static str, value: Option<V>) -> Self {
        if let Some(value) = value {
            self.push(&value);
            let place = format!("?{}", self.values.len());
            self.text.push_str(" AND (");
            substitute(condition, &place, &mut self.text);
            self.text.push(')');
        }
        self
    }

    /// Adds a condition without a value if it is wanted.
    pub fn only_if(mut self, wanted: bool, condition: &'static str) -> Self {
        if wanted {
            self.text.push_str(" AND (");
            self.text.push_str(condition);
            self.text.push(')');
        }
        self
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn push(&mut self, value: &dyn ToSql) {
        match value.to_sql() {
            Ok(output) => self.values.push(owned(&output)),
            Err(e) => {
                self.wrong.get_or_insert(e.to_string());
                self.values.push(Value::Null);
            }
        }
    }
}

pub(crate) fn owned(output: &ToSqlOutput<'_>) -> Value {
    match output {
        ToSqlOutput::Owned(v) => v.clone(),
        ToSqlOutput::Borrowed(v) => value_of(*v),
        _ => Value::Null,
    }
}

pub(crate) fn value_of(v: ValueRef<'_>) -> Value {
    match v {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Integer(i),
        ValueRef::Real(r) => Value::Real(r),
        ValueRef::Text(t) => Value::Text(String::from_utf8_lossy(t).into_owned()),
        ValueRef::Blob(b) => Value::Blob(b.to_vec()),
    }
}

/// Writes the condition with its question marks, but for those inside quotes, replaced by the place.
fn substitute(condition: &str, place: &str, into: &mut String) {
    let mut quote = None;
    for c in condition.chars() {
        match (c, quote) {
            ('?', None) => into.push_str(place),
            (c, None) => {
                if matches!(c, '\'' | '"') {
                    quote = Some(c);
                }
                into.push(c);
            }
            (c, Some(q)) => {
                if c == q {
                    quote = None;
                }
                into.push(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_values_leave_no_condition() {
        let q = sql("SELECT 1 WHERE a = ?")
            .bind(1)
            .and("b = ?", None::<i64>)
            .and("c IN (?, -?)", Some(3))
            .and("d = ?", Some("x"));
        assert_eq!(q.text(), "SELECT 1 WHERE a = ? AND (c IN (?2, -?2)) AND (d = ?3)");
        assert_eq!(q.values, [Value::Integer(1), Value::Integer(3), Value::Text("x".into())]);
    }

    #[test]
    fn question_marks_inside_quotes_stay() {
        let q = sql("SELECT 1 WHERE 1").and("a = ? || '?' || \"?\"", Some(1)).only_if(false, "b").only_if(true, "c");
        assert_eq!(q.text(), "SELECT 1 WHERE 1 AND (a = ?1 || '?' || \"?\") AND (c)");
    }
}
