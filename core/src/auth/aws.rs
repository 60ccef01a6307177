//! AWS Signature Version 4, in a request's headers: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//!
//! What is signed is what is sent: the method, the path and the query as AWS writes them, some headers, and a digest of the body. Our own
//! because it is one function of the headers, and the crates for it bring a client of their own.

use std::fmt;

use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use url::Url;

use super::Secret;
use crate::error::{Error, Result};

/// Keys of an AWS user, and what they sign for.
#[derive(Clone, PartialEq, Eq)]
pub struct Aws {
    /// The access key's id: `AKIA…`.
    pub key_id: String,
    /// The secret access key.
    pub secret: Secret,
    /// What comes with keys that end soon.
    pub session_token: Option<Secret>,
    /// The region: `eu-central-1`.
    pub region: String,
    /// The service: `s3`.
    pub service: &'static str,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aws({} in {}, [secret])", self.service, self.region)
    }
}

/// Everything but what AWS leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A part of a path or a query, as AWS writes it.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const DIGEST: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Signs a request that goes to `url` now: adds its headers.
pub(crate) fn sign(
    keys: &Aws,
    method: &Method,
    url: &Url,
    headers: &mut HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<()> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let digest = hex::encode(Sha256::digest(body));
    headers.insert(DATE, value(&time)?);
    if keys.service == "s3" {
        headers.insert(DIGEST, value(&digest)?);
    }
    if let Some(token) = &keys.session_token {
        headers.insert(TOKEN, value(token.expose())?);
    }
    let mut signed: Vec<(&str, String)> = vec![("host", crate::http::address::authority(url))];
    for (name, value) in headers.iter() {
        let name = name.as_str();
        if name.starts_with("x-amz-") || matches!(name, "range" | "content-type") {
            signed.push((name, value.to_str().unwrap_or_default().trim().to_owned()));
        }
    }
    signed.sort();
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let request = format!("{method}\n{}\n{}\n{lines}\n{names}\n{digest}", path(keys, url), query(url));
    let day = &time[..8];
    let scope = format!("{day}/{}/{}/aws4_request", keys.region, keys.service);
    let text =
        format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(request.as_bytes())));
    let mut key = format!("AWS4{}", keys.secret.expose()).into_bytes();
    for part in [day, &keys.region, keys.service, "aws4_request"] {
        key = mac(&key, part)?;
    }
    let signature = hex::encode(mac(&key, &text)?);
    let told = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
        keys.key_id
    );
    headers.insert(header::AUTHORIZATION, value(&told)?);
    Ok(())
}

/// Each part of the path encoded anew, so that one byte is written one way; all services but S3 encode it once more.
fn path(keys: &Aws, url: &Url) -> String {
    let parts = url.path().split('/').map(|part| {
        let once = utf8_percent_encode(&percent_decode_str(part).decode_utf8_lossy(), ENCODED).to_string();
        if keys.service == "s3" { once } else { encode(&once) }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The query, sorted.
fn query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (encode(&name), encode(&value))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn mac(key: &[u8], text: &str) -> Result<Vec<u8>> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key)
        .map_err(|_| Error::config("the secret access key cannot sign"))?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|_| Error::config("the AWS keys cannot stand in a header: check them for stray characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key_id: &str, secret: &str, service: &'static str) -> Aws {
        let (key_id, region) = (key_id.to_owned(), "us-east-1".to_owned());
        Aws { key_id, secret: Secret::new(secret), session_token: None, region, service }
    }

    fn signature(keys: &Aws, url: &str, headers: &[(&'static str, &'static str)], time: &str) -> String {
        let mut sent: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let url = Url::parse(url).unwrap();
        sign(keys, &Method::GET, &url, &mut sent, b"", time.parse().unwrap()).unwrap();
        let told = sent[header::AUTHORIZATION].to_str().unwrap().to_owned();
        told.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    /// The examples of "Signature Calculations for the Authorization Header" in the Amazon S3 API Reference.
    #[test]
    fn signatures_are_those_that_aws_publishes_for_s3() {
        let keys = keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "s3");
        let host = "https://examplebucket.s3.amazonaws.com";
        for (path, headers, expected) in [
            (
                "/test.txt",
                &[("range", "bytes=0-9")][..],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            ("/?lifecycle", &[], "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            (
                "/?max-keys=2&prefix=J",
                &[],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
            (
                "/?prefix=J&max-keys=2",
                &[],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let found = signature(&keys, &format!("{host}{path}"), headers, "2013-05-24T00:00:00Z");
            assert_eq!(found, expected, "{path}");
        }
    }

    /// `get-vanilla` and `get-vanilla-query-order-key-case` of the published test suite.
    #[test]
    fn signatures_are_those_of_the_published_suite() {
        let keys = keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "service");
        for (url, expected) in [
            (
                "https://example.amazonaws.com/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            assert_eq!(signature(&keys, url, &[], "2015-08-30T12:36:00Z"), expected, "{url}");
        }
    }

    #[test]
    fn a_path_is_written_one_way_however_it_came() {
        let keys = keys("k", "s", "s3");
        let written = |text: &str| path(&keys, &Url::parse(text).unwrap());
        assert_eq!(written("https://h/b/a b+c(1)/ü.csv"), "/b/a%20b%2Bc%281%29/%C3%BC.csv");
        assert_eq!(written("https://h/b/a%20b%2bc%281%29/%c3%bc.csv"), "/b/a%20b%2Bc%281%29/%C3%BC.csv");
        assert!(!format!("{:?}", super::super::Auth::Aws(keys)).contains('k'), "no key shows");
    }
}
