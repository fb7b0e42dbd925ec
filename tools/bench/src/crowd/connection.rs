//! One connection of a crowd: its part of the schedule, its requests, what it saw.

use super::{BIN, Group, Kind, PATIENCE, Seen};
use crate::http::client::{Client, request};
use crate::http::document;
use crate::measure::Latency;
use crate::random::Random;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The longest wait for an answer; a longer one is a hang.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The pause of a caller without a pace who was refused.
const COME_BACK: Duration = Duration::from_millis(20);

pub(super) struct Connection {
    address: SocketAddr,
    group: Group,
    place: usize,
    begin: Instant,
    random: Random,
    client: Option<Client>,
    seen: Seen,
    latency: Latency,
}

/// What an exchange came to.
enum End {
    Answer(u16, Vec<u8>),
    Broken,
}

impl Connection {
    pub(super) fn new(address: SocketAddr, group: Group, place: usize, begin: Instant) -> Self {
        let random = Random::new(place as u64 * 7919 + group.name.len() as u64);
        Connection {
            address,
            group,
            place,
            begin,
            random,
            client: None,
            seen: Seen::default(),
            latency: Latency::default(),
        }
    }

    pub(super) async fn run(mut self) -> (Seen, Latency) {
        let mut from = self.begin;
        for (millis, rate) in self.group.phases.clone() {
            let until = from + Duration::from_millis(millis);
            match rate {
                Some(rate) => self.paced(from, until, rate).await,
                None => self.unpaced(from, until).await,
            }
            from = until;
        }
        (self.seen, self.latency)
    }

    /// This connection's part of the schedule: every so many-th request of the group.
    async fn paced(&mut self, from: Instant, until: Instant, rate: f64) {
        let each = Duration::from_secs_f64(self.group.connections as f64 / rate);
        let mut due = from + each.mul_f64(self.place as f64 / self.group.connections as f64);
        while due < until {
            tokio::time::sleep_until(due.into()).await;
            if due.elapsed() > PATIENCE {
                self.seen.unsent += 1;
                self.bin(due, None);
            } else {
                self.once(due).await;
            }
            due += each;
        }
    }

    async fn unpaced(&mut self, from: Instant, until: Instant) {
        tokio::time::sleep_until(from.into()).await;
        while Instant::now() < until {
            if !self.once(Instant::now()).await {
                tokio::time::sleep_until((Instant::now() + COME_BACK).into()).await;
            }
        }
    }

    /// One request, its time from when it was due; whether it succeeded.
    async fn once(&mut self, due: Instant) -> bool {
        let bearer = self.group.bearers[self.place % self.group.bearers.len()].clone();
        let end = match self.group.kind.clone() {
            Kind::Get(path) => self.ask(&request(&path, Some(&bearer), None)).await,
            Kind::Create(bytes) => {
                let body = text(self.random.next(), bytes);
                self.ask(&request("/api/v1/documents", Some(&bearer), Some(body.as_bytes()))).await
            }
            Kind::File(bytes) => self.file(&bearer, bytes).await,
        };
        let took = due.elapsed();
        let status = match end {
            End::Answer(status, _) => status,
            End::Broken => {
                self.seen.broken += 1;
                0
            }
        };
        if status != 0 {
            *self.seen.statuses.entry(status).or_default() += 1;
        }
        if matches!(status, 429 | 503) {
            self.seen.refusing_us += took.as_micros() as u64;
        }
        let is_good = (200..300).contains(&status);
        if is_good {
            self.latency.record(took);
        }
        self.bin(due, is_good.then_some(took));
        is_good
    }

    /// A file made, filled and removed.
    async fn file(&mut self, bearer: &str, bytes: usize) -> End {
        let made = self.ask(&request("/api/v1/files", Some(bearer), Some(br#"{"name":"giant"}"#))).await;
        let End::Answer(201, body) = made else { return made };
        let id = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let Some(id) = id.as_ref().and_then(|file| file["id"].as_str()) else { return End::Broken };
        let content = format!("/api/v1/files/{id}");
        let head = format!(
            "PUT {content}/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\ncontent-type: application/octet-stream\r\ncontent-length: {bytes}\r\n\r\n"
        );
        let put = self.ask(&[head.as_bytes(), &vec![7; bytes]].concat()).await;
        let remove = format!("DELETE {content} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\n\r\n");
        let _ = self.ask(remove.as_bytes()).await;
        put
    }

    /// Sends and waits. A connection that the server had closed meanwhile is opened again, once.
    async fn ask(&mut self, bytes: &[u8]) -> End {
        for attempt in 0..2 {
            let was_open = self.client.is_some();
            if self.client.is_none() {
                self.client = Client::connect(self.address).await.ok();
            }
            let Some(client) = &mut self.client else { continue };
            match tokio::time::timeout(ANSWER_MAX, client.ask(bytes)).await {
                Ok(Ok(answer)) => {
                    let (status, body) = (answer.status, answer.body.to_vec());
                    if matches!(status, 429 | 503) && !client.has_header("retry-after") {
                        self.seen.without_retry_after += 1;
                    }
                    if client.has_header("connection: close") {
                        self.client = None;
                    }
                    return End::Answer(status, body);
                }
                _ => self.client = None,
            }
            if !was_open && attempt > 0 {
                break;
            }
        }
        End::Broken
    }

    fn bin(&mut self, due: Instant, took: Option<Duration>) {
        let at = (due.saturating_duration_since(self.begin).as_nanos() / BIN.as_nanos()) as usize;
        if self.seen.bins.len() <= at {
            self.seen.bins.resize(at + 1, (0, 0, 0));
        }
        let bin = &mut self.seen.bins[at];
        match took {
            Some(took) => {
                bin.0 += 1;
                bin.2 = bin.2.max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
            None => bin.1 += 1,
        }
    }
}

/// A document of about so many bytes. Of large ones there are some, made once: making one takes as long as sending it.
fn text(random: u64, bytes: usize) -> Cow<'static, str> {
    static LARGE: OnceLock<(usize, Vec<String>)> = OnceLock::new();
    let one = document::json(random % 1_000_000_000_000);
    if bytes <= one.len() {
        return one.into();
    }
    let (made, large) =
        LARGE.get_or_init(|| (bytes, (0..256).map(|n| made_anew(random.wrapping_add(n), bytes)).collect()));
    match *made == bytes {
        true => Cow::Borrowed(&large[(random % 256) as usize]),
        false => made_anew(random, bytes).into(),
    }
}

fn made_anew(random: u64, bytes: usize) -> String {
    let mut words = String::with_capacity(bytes);
    let mut n = random;
    while words.len() < bytes {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        words.push_str(&document::json(n >> 24).replace(['"', '{', '}', ':', ','], " "));
    }
    format!(r#"{{"text":"{words}"}}"#)
}
