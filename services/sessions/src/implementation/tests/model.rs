//! Any history of signing in, using, ending, disabling, changing passwords, waiting and crashing, against a model of
//! which sessions hold.

use super::*;
use crate::implementation::prune_sessions::PruneSessions;
use crate::{EndCurrentSession, EndSessions};
use monolite_service::minutes;
use monolite_users::{ChangePassword, DisableUser, EnableUser};
use proptest::prelude::*;

const IDLE_MINUTES: u64 = 60;
const ABSOLUTE_MINUTES: u64 = 300;
const PER_USER_MAX: usize = 3;
const USERS: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    SignIn(usize),
    Use(usize),
    End(usize),
    EndAll(usize),
    Disable(usize),
    Enable(usize),
    ChangePassword(usize),
    Wait(u64),
    Prune,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let user = || 0..USERS;
    prop_oneof![
        5 => user().prop_map(Step::SignIn),
        6 => (0usize..100).prop_map(Step::Use),
        1 => (0usize..100).prop_map(Step::End),
        1 => (0usize..100).prop_map(Step::EndAll),
        1 => user().prop_map(Step::Disable),
        2 => user().prop_map(Step::Enable),
        1 => user().prop_map(Step::ChangePassword),
        4 => (1u64..50).prop_map(Step::Wait),
        1 => Just(Step::Prune),
        1 => Just(Step::Crash),
    ]
}

/// A session as the model sees it. Times are minutes.
struct Known {
    user: usize,
    began: u64,
    used: u64,
    /// What of `used` the file knows.
    written: u64,
    ended: bool,
    real: SignedIn,
}

struct Model {
    now: u64,
    disabled: [bool; USERS],
    sessions: Vec<Known>,
}

impl Model {
    fn holds(&self, s: &Known) -> bool {
        !s.ended && self.now - s.used < IDLE_MINUTES && self.now - s.began < ABSOLUTE_MINUTES
    }

    fn end_all(&mut self, user: usize) {
        self.sessions.iter_mut().filter(|s| s.user == user).for_each(|s| s.ended = true);
    }

    /// The session that must go for one more of the user: the longest unused of those that hold.
    fn make_room(&mut self, user: usize) {
        let mut of_user: Vec<usize> = (0..self.sessions.len())
            .filter(|&n| self.sessions[n].user == user && self.holds(&self.sessions[n]))
            .collect();
        of_user.sort_by_key(|&n| (self.sessions[n].written, n));
        while of_user.len() >= PER_USER_MAX {
            self.sessions[of_user.remove(0)].ended = true;
        }
    }
}

fn run(w: &World, users: &[User], m: &mut Model, step: Step) {
    match step {
        Step::SignIn(user) => {
            let sign_in = SignIn { email: users[user].email.clone(), password: PASSWORD.into() };
            let answer = w.call(&Caller::anonymous(None), sign_in);
            assert_eq!(answer.is_err(), m.disabled[user]);
            if let Ok(real) = answer {
                m.make_room(user);
                m.sessions.push(Known { user, began: m.now, used: m.now, written: m.now, ended: false, real });
            }
        }
        Step::Use(n) if !m.sessions.is_empty() => {
            let n = n % m.sessions.len();
            let holds = m.holds(&m.sessions[n]);
            assert_eq!(w.holds(&m.sessions[n].real), holds);
            if holds {
                m.sessions[n].used = m.now;
            }
        }
        Step::End(n) | Step::EndAll(n) if !m.sessions.is_empty() => {
            let n = n % m.sessions.len();
            let Ok(caller) = w.recognise(m.sessions[n].real.token.expose()) else { return };
            if matches!(step, Step::End(_)) {
                w.call(&caller, EndCurrentSession {}).unwrap();
                m.sessions[n].ended = true;
            } else {
                w.call(&caller, EndSessions {}).unwrap();
                m.end_all(m.sessions[n].user);
            }
        }
        Step::Disable(user) => {
            w.sys(DisableUser { id: users[user].id }).unwrap();
            m.disabled[user] = true;
            m.end_all(user);
        }
        Step::Enable(user) => {
            w.sys(EnableUser { id: users[user].id }).unwrap();
            m.disabled[user] = false;
        }
        Step::ChangePassword(user) => {
            let id = users[user].id;
            w.sys(ChangePassword { id, old_password: None, new_password: PASSWORD.into() }).unwrap();
            m.end_all(user);
        }
        Step::Wait(for_minutes) => {
            w.app.advance(minutes(for_minutes));
            m.now += for_minutes;
            m.sessions.iter_mut().for_each(|s| s.written = s.used);
        }
        Step::Prune => w.sys(PruneSessions {}).unwrap(),
        Step::Crash => {
            w.touches.take();
            w.app.kill_and_restart();
            m.sessions.iter_mut().for_each(|s| s.used = s.written);
        }
        Step::Use(_) | Step::End(_) | Step::EndAll(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_session_holds_exactly_as_long_as_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let w = World::with(Config {
            idle_seconds: IDLE_MINUTES as u32 * 60,
            absolute_seconds: ABSOLUTE_MINUTES as u32 * 60,
            per_user_max: PER_USER_MAX as u32,
            ..Config::default()
        });
        let users: Vec<User> = (0..USERS).map(|n| w.create(&format!("u{n}"), Role::Member)).collect();
        let mut model = Model { now: 0, disabled: [false; USERS], sessions: Vec::new() };
        for step in steps {
            run(&w, &users, &mut model, step);
        }
        for session in &model.sessions {
            prop_assert_eq!(w.holds(&session.real), model.holds(session));
        }
    }
}
