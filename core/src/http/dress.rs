//! What a request carries, and where: credentials go to the host that they are for, and nowhere else.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RANGE},
};
use url::Url;

use super::{
    Api,
    address::{Address, add_query, remove_query},
    wire::secret,
};
use crate::{
    auth::{Auth, Carry, Token},
    error::{Error, Result},
    object::Request,
};

/// One of the addresses that a request comes to, its own or where a redirect leads.
pub(super) struct Hop<'a> {
    pub address: &'a Address,
    pub redirected: bool,
    pub has_body: bool,
}

/// The headers of one hop; a key that goes into the query is added there.
pub(super) fn dress(
    api: &Api,
    request: &Request,
    hop: &Hop<'_>,
    url: &mut Url,
    token: Option<&Token>,
) -> Result<HeaderMap> {
    let address = hop.address;
    let mut headers = HeaderMap::new();
    headers
        .insert(ACCEPT, HeaderValue::from_static(if address.trusted { "application/json" } else { "*/*" }));
    if hop.has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if address.trusted {
        for (name, value) in &api.headers {
            headers.insert(header_name(name)?, header_value(name, value)?);
        }
    }
    for (name, value) in &request.headers {
        let known = header_name(name)?;
        // Where a redirect leads elsewhere, nothing goes along that could tell a secret.
        if address.trusted || !hop.redirected || known == ACCEPT || known == RANGE {
            headers.insert(known, header_value(name, value)?);
        }
    }
    match auth(api, address) {
        // Signed last, when the whole request is there.
        Auth::None | Auth::Aws(_) => {}
        Auth::Bearer(token) => {
            headers
                .insert(AUTHORIZATION, header_value("authorization", &format!("Bearer {}", token.expose()))?);
        }
        Auth::Basic(user, password) => {
            let both = STANDARD.encode(format!("{user}:{}", password.expose()));
            headers.insert(AUTHORIZATION, header_value("authorization", &format!("Basic {both}"))?);
        }
        Auth::Header(name, key) => {
            headers.insert(header_name(name)?, header_value(name, key.expose())?);
        }
        Auth::Query(name, key) => {
            remove_query(url, name);
            add_query(url, name, key.expose());
        }
        Auth::OAuth(oauth) => match (oauth.carry, token) {
            (Carry::Bearer, Some(token)) => {
                let value = format!("Bearer {}", token.access.expose());
                headers.insert(AUTHORIZATION, header_value("authorization", &value)?);
            }
            (Carry::Header(name), Some(token)) => {
                headers.insert(header_name(name)?, header_value(name, token.access.expose())?);
            }
            (Carry::Body, _) | (_, None) => {}
        },
    }
    Ok(secret(headers))
}

/// The body of one hop: the token takes the place of `{token}`, where it is carried so.
pub(super) fn body(
    api: &Api,
    request: &Request,
    address: &Address,
    content: Bytes,
    token: Option<&Token>,
) -> Bytes {
    let (Auth::OAuth(oauth), Some(token)) = (auth(api, address), token) else { return content };
    match std::str::from_utf8(&content) {
        Ok(text) if oauth.carry == Carry::Body && text.contains(TOKEN) => {
            let kind =
                request.headers.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            let kind = kind.map_or("json", |(_, kind)| kind.as_str());
            text.replace(TOKEN, &escaped(kind, token.access.expose())).into()
        }
        _ => content,
    }
}

/// Where a body takes the token.
const TOKEN: &str = "{token}";

/// Text as it stands in a body of this kind.
fn escaped(kind: &str, text: &str) -> String {
    if kind.contains("form-urlencoded") {
        return form_urlencoded::byte_serialize(text.as_bytes()).collect();
    }
    if kind.contains("xml") {
        return text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
            match letter {
                '&' | '<' | '>' | '"' | '\'' => {
                    // A String takes all.
                    let _ = write!(out, "&#{};", letter as u32);
                }
                letter => out.push(letter),
            }
            out
        });
    }
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What proves whose a request is, where it may be told.
pub(super) fn auth<'a>(api: &'a Api, address: &Address) -> &'a Auth {
    let host = address.host.filter(|_| address.trusted).and_then(|host| api.hosts.get(host));
    host.map_or(&Auth::None, |host| &host.auth)
}

fn header_name(name: &str) -> Result<HeaderName> {
    name.parse().map_err(|_| Error::unexpected(format!("{name:?} is no header's name")))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue> {
    // The value may be a secret with a line's end behind it.
    HeaderValue::from_str(value.trim()).map_err(|_| {
        Error::config(format!("the value of {name} cannot stand in a header: check it for stray characters"))
    })
}
