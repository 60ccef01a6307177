//! Addresses that users type: a name is resolved, and what it stands for is what is connected to; private networks only where the
//! configuration allows them. So neither a wrong name nor one that changes its mind leads into the network that this program stands in.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::error::{Error, Result};

/// Resolves names for one such address: what it does not let through is never connected to.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Whether private, loopback, link-local and other reserved addresses may be reached.
    pub allow_private: bool,
}

/// Why a name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// It stands for no address.
    Unknown {
        /// The name.
        host: String,
        /// What the system says.
        why: String,
    },
    /// It stands for an address that may not be reached.
    Private {
        /// The name.
        host: String,
        /// The address.
        ip: IpAddr,
    },
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { host, why } => write!(f, "{host} has no address: {why}"),
            Self::Private { host, ip } => write!(
                f,
                "{host} is {ip}, which is no public address: nothing was sent; allow_private = true allows it"
            ),
        }
    }
}

impl std::error::Error for Unreachable {}

impl Reach {
    /// Reads an address that a user typed: `https`, a host, no user. Plain `http` only where private addresses are allowed.
    pub fn url(&self, text: &str) -> Result<Url> {
        let bad = |why: &str| Error::config(format!("{why}: {}", super::address::redacted(text)));
        let url = Url::parse(text).map_err(|_| bad("not an address like https://hooks.example.com/in"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private => {}
            "http" => return Err(bad("use https; plain http is spoken only with allow_private = true")),
            _ => return Err(bad("not an address like https://hooks.example.com/in")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("the address must not name a user"));
        }
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) => None,
            None => return Err(bad("not an address like https://hooks.example.com/in")),
        };
        match ip {
            Some(ip) if !self.allow_private && !is_public(ip) => {
                Err(Error::config(Unreachable::Private { host: ip.to_string(), ip }.to_string()))
            }
            _ => Ok(url),
        }
    }

    /// Keeps of what a name stands for what may be reached.
    fn admit(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Unreachable> {
        let first = found.first().map(SocketAddr::ip);
        let open: Vec<_> =
            found.into_iter().filter(|found| self.allow_private || is_public(found.ip())).collect();
        match first {
            Some(ip) if open.is_empty() => Err(Unreachable::Private { host: host.to_owned(), ip }),
            None => Err(Unreachable::Unknown { host: host.to_owned(), why: "it was not found".to_owned() }),
            Some(_) => Ok(open),
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, host) = (*self, name.as_str().to_owned());
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await;
            let found =
                found.map_err(|error| Unreachable::Unknown { host: host.clone(), why: error.to_string() })?;
            Ok(Box::new(reach.admit(&host, found.collect())?.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public Internet: not private, loopback, link-local (metadata services included), shared,
/// multicast, or reserved; nor one of IPv6 that stands for such a one of IPv4.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let parts = ip.segments();
    let [a, b, ..] = parts;
    // Addresses that stand for one of IPv4: mapped, compatible, NAT64, 6to4.
    let embedded = match parts {
        [0, 0, 0, 0, 0, 0xffff | 0, c, d] | [0x64, 0xff9b, 0, 0, 0, 0, c, d] => Some((c, d)),
        [0x2002, c, d, ..] => Some((c, d)),
        _ => None,
    };
    if let Some((c, d)) = embedded {
        let ([c1, c2], [d1, d2]) = (c.to_be_bytes(), d.to_be_bytes());
        return is_public_v4(Ipv4Addr::new(c1, c2, d1, d2));
    }
    // Of what is assigned to anybody (2000::/3), the parts that are for protocols and documentation are nobody's.
    let is_global = a & 0xe000 == 0x2000;
    let is_special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public() {
        for ip in
            ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"]
        {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.9.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn of_what_a_name_stands_for_only_the_public_is_reached() {
        let reach = Reach { allow_private: false };
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 0);
        let both = vec![at("10.0.0.1"), at("1.1.1.1")];
        assert_eq!(reach.admit("x", both.clone()), Ok(vec![at("1.1.1.1")]));
        assert_eq!(Reach { allow_private: true }.admit("x", both.clone()), Ok(both));
        let refused = reach.admit("x", vec![at("10.0.0.1")]).unwrap_err();
        assert!(refused.to_string().contains("10.0.0.1"), "{refused}");
        assert!(matches!(reach.admit("x", Vec::new()), Err(Unreachable::Unknown { .. })));
    }

    #[test]
    fn an_address_that_cannot_be_reached_is_refused_at_once() {
        let (public, private) = (Reach { allow_private: false }, Reach { allow_private: true });
        assert!(public.url("https://hooks.example.com/in?x=1").is_ok());
        assert!(private.url("http://127.0.0.1:8080/in").is_ok());
        for (text, expected) in [
            ("http://hooks.example.com", "use https"),
            ("https://127.0.0.1/in", "127.0.0.1"),
            // The many ways to write an address are all the same to the parser.
            ("https://2130706433/", "127.0.0.1"),
            ("https://0x7f.1/", "127.0.0.1"),
            ("https://[::ffff:10.0.0.1]/", "no public address"),
            ("https://169.254.169.254/latest/meta-data", "allow_private"),
            ("https://me:word@hooks.example.com", "must not name a user"),
            ("ftp://hooks.example.com", "not an address"),
            ("hooks.example.com", "not an address"),
        ] {
            let error = public.url(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("word"), "{text}: {error}");
        }
    }
}
