//! What is wrong with a request's input, before a service sees it.
//!
//! Never here: statuses (see `status.rs`).

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    /// Where in the message, as a JSON pointer; `None` when the whole is meant.
    pub(crate) pointer: Option<String>,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn at(pointer: String, code: &'static str, detail: String) -> Self {
        Fault { code, pointer: Some(pointer), detail }
    }

    /// About one field of the message.
    pub(crate) fn of_field(name: &str, code: &'static str, detail: impl Into<String>) -> Self {
        let mut pointer = String::new();
        super::push_token(&mut pointer, name);
        Self::at(pointer, code, detail.into())
    }

    pub(crate) fn whole(code: &'static str, detail: impl Into<String>) -> Self {
        Fault { code, pointer: None, detail: detail.into() }
    }

    pub(crate) fn malformed(detail: String) -> Self {
        Self::whole("malformed_json", detail)
    }

    pub(crate) fn bad_utf8(detail: String) -> Self {
        Self::whole("bad_utf8", detail)
    }
}
