//! What can be asked of Items.

use monolite_service::{Page, PageOf, Uuid, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest title, in characters, on both sides.
pub(crate) const TITLE_MAX: usize = 200;
/// The longest content, in characters, on both sides.
pub(crate) const CONTENT_MAX: usize = 1000;

/// One item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Item {
    pub(super) id: Uuid,
    pub(super) title: String,
    pub(super) amount: i64,
    pub(super) content: String,
}

/// Adds an item.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct AddItem {
    pub(super) title: String,
    pub(super) amount: i64,
    pub(super) content: String,
}
message!(AddItem => Item, check |m, c| _ = c.length("title", &m.title, 1..=TITLE_MAX).length("content", &m.content, 0..=CONTENT_MAX));

/// The item with this id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct ItemById {
    pub(super) id: Uuid,
}
message!(ItemById => Item);

/// All items, by id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct ListItems {
    #[serde(default)]
    pub(super) page: PageOf,
}
message!(ListItems => Page<Item>);

/// Changes an item's amount.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct ChangeItem {
    pub(super) id: Uuid,
    pub(super) amount: i64,
}
message!(ChangeItem => Item);
