//! Proxies: whose word about a client's address is taken.
//!
//! **Invariants**
//! - `X-Forwarded-For` is read only from a trusted peer; everybody else is who they connect as.
//! - It is read from the right, where trusted proxies wrote: nothing left of the first untrusted address counts.
//! - What is no address ends the reading; the one before it holds.
//!
//! Never here: `Forwarded`, `X-Real-IP` and other names, which a proxy may let through from the client.

use http::{HeaderMap, HeaderName};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The addresses and prefixes of trusted proxies: `"127.0.0.1, 10.0.0.0/8, 2001:db8::/32"`. None by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

/// A text that names no addresses and prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoProxies(String);

impl fmt::Display for NoProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be addresses and prefixes such as 127.0.0.1, 10.0.0.0/8, not {:?}", self.0)
    }
}

impl std::error::Error for NoProxies {}

impl FromStr for Proxies {
    type Err = NoProxies;

    fn from_str(text: &str) -> Result<Self, NoProxies> {
        let named = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
        named
            .map(|part| Network::of(part).ok_or_else(|| NoProxies(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Proxies)
    }
}

impl Proxies {
    /// Whose request it is: the peer's, or where that is a trusted proxy, the last one's that is none.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if !self.trust(client) {
            return client;
        }
        let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
        for hop in values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(',')) {
            let Some(address) = address(hop.trim()) else { break };
            client = address;
            if !self.trust(client) {
                break;
            }
        }
        client
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }
}

impl Network {
    /// A prefix of no bits would be everybody, and so nobody's word.
    fn of(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let bits = if IpAddr::is_ipv4(&address) { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (1..=bits).contains(&prefix).then_some(Network { address, prefix })
    }

    fn has(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (u32::from(own) ^ u32::from(other)) >> (32 - self.prefix) == 0,
            (IpAddr::V6(own), IpAddr::V6(other)) => (u128::from(own) ^ u128::from(other)) >> (128 - self.prefix) == 0,
            _ => false,
        }
    }
}

/// As proxies write them: alone, with a port, in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let alone = hop.parse().ok().or_else(|| hop.parse().ok().map(|socket: SocketAddr| socket.ip()));
    alone.or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        trusted.parse::<Proxies>().unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let spoofed = &["203.0.113.9"];
        assert_eq!(client("", "127.0.0.1", spoofed), "127.0.0.1");
        assert_eq!(client("10.0.0.0/8", "192.0.2.1", spoofed), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", "11.0.0.1", spoofed), "11.0.0.1");
        assert_eq!(client("10.0.0.0/8, 127.0.0.1", "10.255.0.1", spoofed), "203.0.113.9");
        assert_eq!(client("2001:db8::/33", "2001:db8:7fff::1", spoofed), "203.0.113.9");
        assert_eq!(client("2001:db8::/33", "2001:db8:8000::1", spoofed), "2001:db8:8000::1");
        assert_eq!(client("127.0.0.1", "127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_clients() {
        let trusted = "127.0.0.1 10.0.0.0/8";
        assert_eq!(client(trusted, "127.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.1"]), "203.0.113.9");
        assert_eq!(client(trusted, "127.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.1,10.0.0.2"]), "203.0.113.9");
        assert_eq!(client(trusted, "127.0.0.1", &["127.0.0.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(trusted, "127.0.0.1", &["10.0.0.9, 10.0.0.1"]), "10.0.0.9", "all of them are ours");
        assert_eq!(client(trusted, "127.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(client(trusted, "127.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(trusted, "127.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client(trusted, "127.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
    }

    #[test]
    fn what_is_no_address_ends_the_reading() {
        assert_eq!(client("127.0.0.1, 10.0.0.1", "127.0.0.1", &["203.0.113.9, unknown, 10.0.0.1"]), "10.0.0.1");
        assert_eq!(client("127.0.0.1", "127.0.0.1", &["203.0.113.9,"]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", "127.0.0.1", &[""]), "127.0.0.1");
    }

    #[test]
    fn what_names_no_network_is_refused() {
        for wrong in ["proxy.example", "10.0.0.0/33", "10.0.0.0/", "0.0.0.0/0", "::/0", "::1/129", "10.0.0.0/8;::1"] {
            assert!(wrong.parse::<Proxies>().is_err(), "{wrong}");
        }
        assert_eq!("".parse(), Ok(Proxies::default()));
    }
}
