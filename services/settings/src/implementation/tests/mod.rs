//! Settings as a whole, on a real file.

mod attacks;
mod http;
mod settings;

use monolite_service::{Caller, Error, Json, Message, Outcome, Refusal, UserId, Uuid};
use monolite_testkit::App;

use super::Declared;
use crate::{Scope, SetSetting, Setting, SettingByKey};

pub(super) struct World {
    pub(super) app: App,
}

impl World {
    pub(super) fn new() -> World {
        let declared = Declared::new().declare("theme", "light").declare("page.rows", 50);
        World { app: monolite_testkit::app([declared.service()]) }
    }

    pub(super) fn call<M: Message>(&self, caller: &Caller, message: M) -> Outcome<M> {
        self.app.host().call_blocking(caller, message)
    }

    pub(super) fn read(&self, caller: &Caller, scope: Scope) -> Setting {
        self.call(caller, SettingByKey { key: "theme".into(), scope }).unwrap()
    }
}

pub(super) fn set(value: &str, scope: Scope, if_match: Option<u64>) -> SetSetting {
    SetSetting { key: "theme".into(), scope, value: Json::parse(value).unwrap(), if_match }
}

pub(super) fn user(n: u128) -> Caller {
    Caller::signed_in(UserId(Uuid::from_u128(n))).with_roles(["member"])
}

pub(super) fn admin() -> Caller {
    Caller::signed_in(UserId(Uuid::from_u128(99))).with_roles(["admin"])
}

#[track_caller]
pub(super) fn code<T: std::fmt::Debug, R: Refusal>(outcome: Result<T, Error<R>>) -> String {
    outcome.unwrap_err().refusal().expect("a refusal").code().into_owned()
}
