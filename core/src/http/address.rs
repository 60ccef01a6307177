//! Where requests go: to declared hosts, and nowhere else.
//!
//! Every address is kept as the vendor knows it; a stand-in takes its place only at the last moment
//! ([`Addresses::physical`]). So what may be asked, with which credentials, is decided the same way with and
//! without one.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::{Host as UrlHost, Url};

use super::Api;
use crate::{
    auth::Auth,
    error::{Error, Result},
    object::Request,
};

/// How what a token tells stands in a host's address.
const TOLD: &str = "{token.";

/// What may stand in a query as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// All that an API may be asked at.
#[derive(Debug)]
pub(crate) struct Addresses {
    hosts: RwLock<Vec<Host>>,
    /// Which of them only a token tells.
    told: Vec<bool>,
    results: &'static [&'static str],
    base: Option<Url>,
}

/// A host's name and, once it is known, its address.
type Host = (&'static str, Option<Url>);

/// Where one request goes.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// As the vendor knows it.
    pub url: Url,
    /// The declared host, by place; none for a result file.
    pub host: Option<usize>,
    /// Whether credentials may go there.
    pub trusted: bool,
}

impl Addresses {
    pub fn new(api: &Api, base_url: Option<&str>) -> Result<Self> {
        if api.hosts.is_empty() {
            return Err(Error::config("the API has no host"));
        }
        let mut hosts = Vec::with_capacity(api.hosts.len());
        let told: Vec<bool> = api.hosts.iter().map(|host| host.url.contains(TOLD)).collect();
        for (host, told) in api.hosts.iter().zip(&told) {
            hosts.push((host.name, if *told { None } else { Some(secure(&host.url)?) }));
            if let Auth::OAuth(oauth) = &host.auth {
                secure(&oauth.token_url)?;
            }
        }
        let base = base_url.map(stand_in).transpose()?;
        Ok(Self { hosts: RwLock::new(hosts), told, results: api.results, base })
    }

    /// Whether only a token tells where this host is.
    pub fn is_told(&self, host: usize) -> bool {
        self.told.get(host).is_some_and(|told| *told)
    }

    /// Puts what came with a token into the address of such a host.
    pub fn tell(&self, host: usize, template: &str, token: &Value) -> Result<()> {
        let url = secure(&fill(template, token)?)?;
        let is_known = matches!(self.hosts().get(host), Some((_, Some(known))) if *known == url);
        if !is_known
            && let Some(host) = self.hosts.write().unwrap_or_else(PoisonError::into_inner).get_mut(host)
        {
            host.1 = Some(url);
        }
        Ok(())
    }

    fn hosts(&self) -> RwLockReadGuard<'_, Vec<Host>> {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self, place: usize) -> Result<Url> {
        let url = self.hosts().get(place).and_then(|(_, url)| url.clone());
        url.ok_or_else(|| Error::unexpected("the token has not told where this host is"))
    }

    /// Where `request` goes, its query encoded.
    pub fn find(&self, request: &Request) -> Result<Address> {
        let near = self
            .hosts()
            .iter()
            .position(|(name, _)| *name == request.host)
            .or_else(|| request.host.is_empty().then_some(0));
        let Some(near) = near else {
            return Err(Error::unexpected(format!("the API has no host named {:?}", request.host)));
        };
        let mut address = if is_absolute(&request.path) {
            self.locate(parse(&request.path)?, near)?
        } else {
            let host = self.host(near)?;
            let whole =
                format!("{}/{}", host.as_str().trim_end_matches('/'), request.path.trim_start_matches('/'));
            // An empty path is the host's own address, without a slash behind it.
            let url = parse(if request.path.is_empty() { host.as_str() } else { &whole })?;
            Address { url, host: Some(near), trusted: true }
        };
        for (name, value) in &request.query {
            add_query(&mut address.url, name, value);
        }
        Ok(address)
    }

    /// Where a redirect leads. Credentials go along only to the same host.
    pub fn follow(&self, from: &Address, location: &str) -> Result<Address> {
        let url = from.url.join(location).map_err(|_| Error::unexpected("it leads to no address"))?;
        let mut to = self.locate(url, from.host.unwrap_or(0))?;
        to.trusted &= from.trusted && same_origin(&to.url, &from.url);
        Ok(to)
    }

    /// The address that is really connected to, and the authority that a stand-in is to be told.
    pub fn physical(&self, url: &Url) -> (Url, Option<String>) {
        let Some(base) = &self.base else { return (url.clone(), None) };
        let mut physical = base.clone();
        physical.set_path(&format!("{}{}", base.path().trim_end_matches('/'), url.path()));
        physical.set_query(url.query());
        (physical, Some(authority(url)))
    }

    /// Whether connections stay on this machine.
    pub fn is_local(&self) -> bool {
        self.base.as_ref().is_some_and(is_loopback)
    }

    /// Whether `http` may be spoken.
    pub fn is_plain(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.scheme() == "http")
    }

    /// An absolute address: of a declared host (the `near` one if several share it), or of a result file.
    fn locate(&self, url: Url, near: usize) -> Result<Address> {
        let mut url = self.logical(url, near)?;
        // Some vendors write their own links without the s.
        if url.scheme() == "http" && url.port().is_none() {
            let _ = url.set_scheme("https");
        }
        // Nobody needs these, and they would show.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_fragment(None);
        let shared: Vec<(usize, usize)> = {
            let hosts = self.hosts();
            let known =
                hosts.iter().enumerate().filter_map(|(place, (_, host))| Some((place, host.as_ref()?)));
            let fit = |host: &Url| if url.path().starts_with(host.path()) { host.path().len() } else { 0 };
            known
                .filter(|(_, host)| same_origin(host, &url))
                .map(|(place, host)| (place, fit(host)))
                .collect()
        };
        let named = shared.iter().find(|(place, _)| *place == near);
        if let Some((host, _)) = named.or_else(|| shared.iter().max_by_key(|(_, fit)| *fit)) {
            return Ok(Address { url, host: Some(*host), trusted: true });
        }
        if url.scheme() == "https" && url.port().is_none() && self.is_result(url.host_str().unwrap_or("")) {
            return Ok(Address { url, host: None, trusted: false });
        }
        Err(Error::unexpected(format!(
            "{} is none of this API's hosts: nothing was sent there",
            authority(&url)
        )))
    }

    fn is_result(&self, host: &str) -> bool {
        self.results.iter().any(|known| match known.strip_prefix('.') {
            Some(_) => host.len() > known.len() && host.ends_with(known),
            None => host == *known,
        })
    }

    /// A stand-in's links name the stand-in: back to the host that it stands for.
    fn logical(&self, url: Url, near: usize) -> Result<Url> {
        let Some(base) = self.base.as_ref().filter(|base| same_origin(base, &url)) else { return Ok(url) };
        let mut logical = self.host(near)?;
        let path = url.path();
        logical.set_path(path.strip_prefix(base.path().trim_end_matches('/')).unwrap_or(path));
        logical.set_query(url.query());
        Ok(logical)
    }
}

/// Adds a query parameter, `%20` for a space: every server reads that.
pub(crate) fn add_query(url: &mut Url, name: &str, value: &str) {
    let pair = format!("{}={}", utf8_percent_encode(name, QUERY), utf8_percent_encode(value, QUERY));
    let query = match url.query() {
        None | Some("") => pair,
        Some(before) => format!("{before}&{pair}"),
    };
    url.set_query(Some(&query));
}

/// Takes a query parameter out, wherever it stands.
pub(crate) fn remove_query(url: &mut Url, name: &str) {
    let kept = url.query().map(|query| without(query, |key, _| key == name));
    url.set_query(kept.as_deref().filter(|query| !query.is_empty()));
}

/// An address, whole or relative, without some of its query's parameters; the others stay as they are written.
pub(crate) fn without_query(url: &str, is_out: impl Fn(&str, &str) -> bool) -> String {
    let (rest, fragment) = url.split_once('#').map_or((url, None), |(rest, behind)| (rest, Some(behind)));
    let Some((path, query)) = rest.split_once('?') else { return url.to_owned() };
    let kept = without(query, is_out);
    let mut out = path.to_owned();
    for (mark, part) in [('?', Some(kept.as_str())), ('#', fragment)] {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            out.push(mark);
            out.push_str(part);
        }
    }
    out
}

fn without(query: &str, is_out: impl Fn(&str, &str) -> bool) -> String {
    let is_kept = |pair: &&str| {
        form_urlencoded::parse(pair.as_bytes()).next().is_none_or(|(key, value)| !is_out(&key, &value))
    };
    query.split('&').filter(is_kept).collect::<Vec<_>>().join("&")
}

/// A host's address as a token tells it.
fn fill(template: &str, token: &Value) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(TOLD) {
        let (name, behind) =
            after.split_once('}').ok_or_else(|| Error::config(format!("{template} is not closed")))?;
        let value = token.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
        let value =
            value.ok_or_else(|| Error::unexpected(format!("the token endpoint's answer has no {name}")))?;
        out.push_str(before);
        // A part of a name must not become the end of it.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if !out.is_empty() && !value.bytes().all(is_name) {
            return Err(Error::unexpected(format!(
                "{name} of the token endpoint's answer is no part of an address"
            )));
        }
        out.push_str(if out.is_empty() { value.trim_end_matches('/') } else { value });
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// Host and path, to be shown: a query may hold anything.
pub(crate) fn place(url: &Url) -> String {
    format!("{}{}", authority(url), url.path())
}

/// Host, and port where it is not the usual one.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address that is spoken to in TLS.
pub(crate) fn secure(text: &str) -> Result<Url> {
    let bad = |why: &str| Error::config(format!("{why}: {}", redacted(text)));
    let url = Url::parse(text).map_err(|_| bad("not an address like https://api.example.com"))?;
    if url.scheme() != "https" {
        return Err(bad("only https is spoken with vendors"));
    }
    if !url.has_host() || !url.username().is_empty() || url.password().is_some() {
        return Err(bad("the address must be a host and a path, without a user"));
    }
    Ok(url)
}

fn stand_in(text: &str) -> Result<Url> {
    let bad = |why: &str| Error::config(format!("base_url {}: {why}", redacted(text)));
    let mut url = Url::parse(text).map_err(|_| bad("not an address like http://127.0.0.1:8080"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(bad("plain http is allowed on loopback only; use https")),
        _ => return Err(bad("not an address like http://127.0.0.1:8080")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("the address must not name a user"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn parse(text: &str) -> Result<Url> {
    Url::parse(text)
        .map_err(|error| Error::unexpected(format!("not an address ({error}): {}", redacted(text))))
}

fn is_absolute(path: &str) -> bool {
    ["https://", "http://"]
        .iter()
        .any(|scheme| path.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(UrlHost::Ipv4(ip)) => ip.is_loopback(),
        Some(UrlHost::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// An address that could not be used, without what may be secret in it.
pub(crate) fn redacted(text: &str) -> String {
    let shown = text.split(['?', '#']).next().unwrap_or("");
    let shown = shown.rsplit_once('@').map_or(shown, |(_, rest)| rest);
    format!("{:?}", shown.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_brings_no_user_and_no_fragment() {
        let api = Api::new("https://api.example.com/v1", Auth::None);
        let addresses = Addresses::new(&api, None).unwrap();
        let found = addresses.find(&Request::get("https://me:word@api.example.com/a?b=1#c")).unwrap();
        assert_eq!((found.url.as_str(), found.trusted), ("https://api.example.com/a?b=1", true));
        assert_eq!(addresses.physical(&found.url), (found.url.clone(), None));
    }

    #[test]
    fn of_hosts_that_share_a_name_the_path_tells() {
        let api = Api::new("https://example.com/api", Auth::None).host(
            "chat",
            "https://example.com/chat",
            Auth::None,
        );
        let addresses = Addresses::new(&api, None).unwrap();
        let host = |request: Request| addresses.find(&request).unwrap().host;
        assert_eq!(
            host(Request::get("https://example.com/chat/next")),
            Some(0),
            "the one that the request names"
        );
        assert_eq!(host(Request::get("https://example.com/chat/next").at("chat")), Some(1));
        assert_eq!(host(Request::get("/next").at("chat")), Some(1));
    }

    #[test]
    fn a_token_tells_where_a_host_is() {
        let api = Api::new("{token.instance_url}/v1", Auth::None).host(
            "dc",
            "https://{token.dc}.example.com",
            Auth::None,
        );
        let addresses = Addresses::new(&api, None).unwrap();
        let find = |request| addresses.find(&request).map(|found| found.url.to_string());
        assert!(find(Request::get("/a")).unwrap_err().message().contains("has not told"));
        let token = serde_json::json!({"instance_url": "https://a.example.net/", "dc": "us-7"});
        for place in [0, 1] {
            assert!(addresses.is_told(place));
            addresses.tell(place, &api.hosts[place].url, &token).unwrap();
        }
        assert_eq!(find(Request::get("/a")).unwrap(), "https://a.example.net/v1/a");
        assert_eq!(find(Request::get("/a").at("dc")).unwrap(), "https://us-7.example.com/a");
        for (place, wrong) in [
            (0, serde_json::json!({"instance_url": "http://a.example.net"})),
            (0, serde_json::json!({"instance_url": "https://me:word@a.example.net"})),
            (0, serde_json::json!({})),
            (1, serde_json::json!({"dc": "evil.example/#"})),
            (1, serde_json::json!({"dc": "evil.example?"})),
            (1, serde_json::json!({"dc": "x@evil.example"})),
        ] {
            assert!(addresses.tell(place, &api.hosts[place].url, &wrong).is_err(), "{wrong}");
        }
        assert_eq!(find(Request::get("/a").at("dc")).unwrap(), "https://us-7.example.com/a");
    }

    #[test]
    fn parameters_are_taken_out_of_any_address() {
        let out = |url| without_query(url, |name, value| name == "key" || value == "s3cret");
        assert_eq!(out("/a?x=1&key=2&y=%20#f"), "/a?x=1&y=%20#f");
        assert_eq!(out("https://a.example/b?key=1&other=s3cret"), "https://a.example/b");
        assert_eq!(out("?%6bey=1&cursor=a%3D%3D&keys=3"), "?cursor=a%3D%3D&keys=3");
        assert_eq!(out("/a"), "/a");
    }
}
