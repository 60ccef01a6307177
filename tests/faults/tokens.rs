//! A vendor whose tokens end after some requests, and which replaces what renews them each time: the one before is withdrawn when the
//! new one is first used. Who uses a token before it is on the disk is locked out by a kill.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use headwater::sandbox::Vendor;
use serde_json::Value;

use crate::vendor::answer;

/// A token is good for so many requests.
const GOOD_FOR: u64 = 12;
const LARGEST: usize = 1 << 20;

/// The tokens of one account.
pub struct Tokens {
    issued: AtomicU64,
    state: Mutex<State>,
    /// What the vendor itself knows.
    settings: Value,
}

#[derive(Default)]
struct State {
    /// The numbers of refresh tokens that are good; 0 is the settings'.
    good: BTreeSet<u64>,
    /// The token that is in use, and how often it was used.
    current: (u64, u64),
    /// The vendor's own.
    access: String,
}

impl Tokens {
    /// Puts itself before this vendor.
    pub fn guard(router: Router, vendor: &dyn Vendor) -> (Router, Arc<Self>) {
        let state = State { good: BTreeSet::from([0]), ..State::default() };
        let tokens = Arc::new(Self {
            issued: AtomicU64::default(),
            state: Mutex::new(state),
            settings: vendor.settings()["auth"].clone(),
        });
        let guard = tokens.clone();
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let guard = guard.clone();
            async move {
                match request.uri().path() {
                    "/services/oauth2/token" => guard.renew(request, next).await,
                    _ => guard.pass(request, next).await,
                }
            }
        }));
        (router, tokens)
    }

    /// How many have been asked for.
    pub fn count(&self) -> u64 {
        self.issued.load(Ordering::SeqCst)
    }

    fn own(&self) -> &str {
        self.settings["refresh_token"].as_str().expect("a refresh token")
    }

    async fn renew(&self, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, LARGEST).await.expect("a form");
        let mut form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        for (name, value) in &mut form {
            if name == "refresh_token" {
                let number = if *value == self.own() { Some(0) } else { number("refresh", value) };
                if !number.is_some_and(|number| self.state.lock().expect("tokens").good.contains(&number)) {
                    return answer(
                        400,
                        "application/json",
                        r#"{"error":"invalid_grant","error_description":"withdrawn"}"#,
                    );
                }
                *value = self.own().to_owned();
            }
        }
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::from_parts(parts, Body::from(body));
        request.headers_mut().remove("content-length");
        let response = next.run(request).await;
        let bytes = to_bytes(response.into_body(), LARGEST).await.expect("an answer");
        let mut told: Value = serde_json::from_slice(&bytes).expect("JSON");
        {
            let mut state = self.state.lock().expect("tokens");
            state.access = told["access_token"].as_str().expect("a token").to_owned();
            state.good.insert(number);
        }
        told["access_token"] = format!("access-{number}").into();
        told["refresh_token"] = format!("refresh-{number}").into();
        // A kill comes while the answer is on its way, while it is stored, and before it is used.
        tokio::time::sleep(Duration::from_millis(15)).await;
        answer(200, "application/json", told.to_string())
    }

    async fn pass(&self, mut request: Request, next: Next) -> Response {
        let ended = || {
            let body = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;
            answer(401, "application/json", body)
        };
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let Some(number) = given.and_then(|value| number("Bearer access", value)) else { return ended() };
        let access = {
            let mut state = self.state.lock().expect("tokens");
            if number > state.current.0 && state.good.contains(&number) {
                state.current = (number, 0);
                state.good = BTreeSet::from([number]);
            }
            if number != state.current.0 || state.current.1 >= GOOD_FOR {
                return ended();
            }
            state.current.1 += 1;
            state.access.clone()
        };
        let access = format!("Bearer {access}").parse().expect("a header");
        request.headers_mut().insert("authorization", access);
        next.run(request).await
    }
}

fn number(kind: &str, token: &str) -> Option<u64> {
    token.strip_prefix(kind)?.strip_prefix('-')?.parse().ok()
}
