//! One client per account: it asks until it has an answer, or knows that there will be none.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::{
    Answer, Api, Body, Options, Share,
    address::{Address, Addresses, place, without_query},
    body::too_large,
    dress::{Hop, auth, body, dress},
    judge,
    pace::{Pace, jiff_duration},
    shelf::Shelf,
    veil::Veil,
    vendor_clock::VendorClock,
    wire::{Clock, Wire, late, secret},
};
use crate::{
    auth::{Auth, Secret, Token, aws, session::Session},
    error::{Error, Kind, Result},
    object::{Account, Request},
};

/// So many redirects are followed.
const REDIRECTS: usize = 5;

/// The room that an answer takes before it is known how large it is, in bytes.
const USUAL: usize = 1 << 20;

/// The only way to ask an account's API: whatever a connector asks is signed, paced, tried again and judged here.
pub struct Client {
    api: Api,
    wire: Arc<Wire>,
    pace: Pace,
    /// For each host, the session that its tokens come from.
    sessions: Vec<Option<Arc<Session>>>,
    clock: VendorClock,
    /// Long answers that are read page by page.
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) options: Options,
}

/// What is asked, and how much of the answer is waited for.
struct Asking<'a> {
    request: &'a Request,
    address: Address,
    reading: Reading,
}

#[derive(Clone, Copy)]
enum Reading {
    /// All of it.
    Whole,
    /// Nothing: it is read as it comes.
    Stream,
    /// All of it if it is no larger than this; else it is read as it comes.
    Begin(usize),
}

/// One attempt that failed.
struct Failed {
    error: Error,
    /// The token that it was made with.
    token: Option<Secret>,
    /// Whether there is no use in asking again.
    last: bool,
}

impl Client {
    /// A client for this API. Nothing is asked yet.
    pub fn new(api: Api, options: Options) -> Result<Self> {
        let addresses = Addresses::new(&api, options.base_url.as_deref())?;
        let clock: Clock = Arc::clone(&options.clock);
        let pace = Pace::new(&api, &options)?;
        let wire = Arc::new(Wire::new(addresses, Veil::new(&api), clock, &options)?);
        let sessions = sessions(&api, &wire, &options)?;
        let shelf = Shelf::new(options.open_bodies, options.idle_timeout);
        Ok(Self { api, wire, pace, sessions, clock: VendorClock::default(), shelf, options })
    }

    /// Sends a request and returns its answer: 2xx, and no error inside. It waits while the budget has no room.
    pub async fn send(&self, request: Request) -> Result<Answer> {
        let mut share = self.options.budget.share(USUAL).await;
        let (mut answer, _) = self.ask(&request, Reading::Whole, &mut share).await?;
        answer.body = share.hold(answer.body);
        Ok(answer)
    }

    /// Sends a request whose answer is read as it comes. Its beginning is tried again like any other; what breaks
    /// afterwards, [`Body::next_chunk`] tells. [`Api::judge`] sees only answers that are not 2xx. What is kept of it,
    /// the caller has to bound.
    pub async fn open(&self, request: Request) -> Result<Body> {
        let mut share = Share::none(&self.options.budget);
        match self.ask(&request, Reading::Stream, &mut share).await? {
            (_, Some(body)) => Ok(body),
            (_, None) => Err(Error::unexpected("the answer has no body")),
        }
    }

    /// Sends a request. An answer that is no larger than `most` comes whole, judged like any other; a larger one is to be
    /// read as it comes. What has come is `share`'s.
    pub(crate) async fn begin(
        &self,
        request: &Request,
        most: usize,
        share: &mut Share,
    ) -> Result<(Answer, Option<Body>)> {
        self.ask(request, Reading::Begin(most), share).await
    }

    /// The same client, to which it is the time that the other one has heard of.
    pub fn with_clock_of(self, other: &Client) -> Self {
        Self { clock: other.clock.clone(), ..self }
    }

    /// What time it is at the vendor's, as its answers tell; ours where the two agree, and while none has told.
    pub fn vendor_time(&self) -> Timestamp {
        self.clock.now((self.options.clock)())
    }

    /// The account that the client was made for; empty before the first check.
    pub fn account(&self) -> &Account {
        &self.options.account
    }

    /// An address that a vendor answered with, without the credentials that stand in its query: a cursor is no place
    /// for them, and the client adds them again. `host` is the name of the host that it is of.
    pub fn without_secrets(&self, host: &str, url: &str) -> String {
        let mut hosts = self.api.hosts.iter();
        let own = hosts.find(|known| known.name == host).or(self.api.hosts.first());
        without_query(url, |name, value| {
            matches!(own.map(|own| &own.auth), Some(Auth::Query(known, _)) if *known == name)
                || self.wire.veil.hide(value) != value
        })
    }

    /// The token in use, renewed if it has ended: for what came with it (`instance_url`). Of several, the first
    /// host's.
    pub async fn token(&self) -> Result<Token> {
        self.session()?.token(None).await
    }

    /// Takes the code that the user's browser came back with, and keeps the token that it is good for. `verifier`
    /// and `redirect_uri` are those of the [`Consent`](crate::auth::Consent).
    pub async fn exchange(
        &self,
        code: Secret,
        redirect_uri: &str,
        verifier: Option<Secret>,
    ) -> Result<Token> {
        self.session()?.exchange(code, redirect_uri.to_owned(), verifier).await
    }

    fn session(&self) -> Result<&Arc<Session>> {
        let session = self.sessions.iter().flatten().next();
        session.ok_or_else(|| Error::config("this API is not used with OAuth tokens"))
    }

    async fn ask(
        &self,
        request: &Request,
        reading: Reading,
        share: &mut Share,
    ) -> Result<(Answer, Option<Body>)> {
        self.locate_hosts().await?;
        let address = self.wire.addresses.find(request).map_err(|error| self.wire.hide(error))?;
        let asking = Asking { request, address, reading };
        let address = &asking.address;
        let mut deadline = Instant::now() + self.options.deadline;
        let mut backoff = self.backoff();
        let mut stale = None;
        let mut attempt = 1;
        loop {
            let failed = match self.attempt(&asking, stale.as_ref(), attempt, &mut deadline, share).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let error = failed.error.within(verb(&request.method), self.shown(address));
            if failed.last {
                return Err(error);
            }
            // A token may end before its time: once, another is got.
            if error.kind() == Kind::Auth && stale.is_none() && failed.token.is_some() {
                stale = failed.token;
                continue;
            }
            let error = match attempt {
                1 => error,
                _ => error.within("attempt", format!("{attempt} of {}", self.options.max_attempts)),
            };
            let delay = backoff.next().unwrap_or(self.options.backoff);
            let wait = self.wait(&error, request, address, delay);
            if !error.kind().is_temporary() || error.until().is_some() || attempt >= self.options.max_attempts
            {
                return Err(error);
            }
            if wait > self.options.longest_wait || Instant::now() + wait >= deadline {
                return Err(if error.kind() == Kind::RateLimited { self.paused(error, wait) } else { error });
            }
            sleep(wait).await;
            attempt += 1;
        }
    }

    /// Sends the request once, and judges the answer.
    async fn attempt(
        &self,
        asking: &Asking<'_>,
        stale: Option<&Secret>,
        attempt: u32,
        deadline: &mut Instant,
        share: &mut Share,
    ) -> Result<(Answer, Option<Body>), Failed> {
        let Asking { request, address, reading } = asking;
        let last = |error| Failed { error, token: None, last: true };
        // Whoever waits for a token is not in line yet; and a long line may outlive it.
        self.credential(address, stale).await.map_err(last)?;
        let entered = self.pace.enter(address.host, request.limit, *deadline).await;
        let (pass, in_line) = entered.map_err(last)?;
        *deadline += in_line;
        let token = self.credential(address, stale).await.map_err(last)?;

        let began = Instant::now();
        let patience = self.options.attempt_timeout.min(deadline.saturating_duration_since(began));
        let asked = (verb(&request.method), self.shown(address));
        let work = async {
            let response = self.follow(request, address, token.as_ref()).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            if address.host.is_some() {
                self.clock.hear(&headers);
            }
            let mut body = Body::new(response, asked.clone(), self.options.idle_timeout, pass);
            let all = self.options.max_answer;
            let most = match reading {
                Reading::Begin(most) if status.is_success() => *most,
                _ => all,
            };
            let whole = match reading {
                Reading::Stream if status.is_success() => None,
                _ => body.begin(most, share).await?,
            };
            match (whole, reading) {
                (Some(body), _) => Ok((Answer { status, headers, body }, None)),
                (None, Reading::Stream | Reading::Begin(_)) if status.is_success() => {
                    body.release();
                    Ok((Answer { status, headers, body: Bytes::new() }, Some(body)))
                }
                (None, _) => Err(too_large(all)),
            }
        };
        let result = timeout(patience, work).await.unwrap_or_else(|_| Err(late(patience)));
        self.log(&asked, &result, began, attempt);
        let failed =
            |error| Failed { error, token: token.as_ref().map(|token| token.access.clone()), last: false };
        let (answer, body) = result.map_err(failed)?;
        self.pace.hear(&answer, address.host);
        let now = (self.options.clock)();
        let judged =
            body.is_none().then(|| judge::judge(&self.api, &answer, wants_json(request), now)).flatten();
        if let Some(error) = judged {
            return Err(failed(self.pace.spent(self.wire.hide(error), address.host)));
        }
        if let Some(wait) = (self.api.ease)(&answer) {
            self.pace.close(address.host, request.limit, wait);
        }
        Ok((answer, body))
    }

    /// Sends the request, and again where a redirect leads.
    async fn follow(
        &self,
        request: &Request,
        address: &Address,
        token: Option<&Token>,
    ) -> Result<reqwest::Response> {
        let mut address = address.clone();
        let (mut method, mut content) = (request.method.clone(), request.body.clone());
        let mut cookies: Option<HeaderValue> = None;
        for hop in 0..=REDIRECTS {
            let mut url = address.url.clone();
            let hop = Hop { address: &address, redirected: hop > 0, has_body: !content.is_empty() };
            let mut headers = dress(&self.api, request, &hop, &mut url, token)?;
            let body = body(&self.api, request, &address, content.clone(), token);
            if let Auth::Aws(keys) = auth(&self.api, &address) {
                let (physical, _) = self.wire.addresses.physical(&url);
                aws::sign(keys, &method, &physical, &mut headers, &body, self.vendor_time())?;
                headers = secret(headers);
            }
            if let Some(cookies) = cookies.take() {
                headers.insert(COOKIE, cookies);
            }
            let response = self.wire.send(method.clone(), &url, headers, body).await?;
            let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let Some(location) = location.filter(|_| is_redirect(response.status())) else {
                return Ok(response);
            };
            address = self
                .wire
                .addresses
                .follow(&address, location)
                .map_err(|error| self.wire.hide(error).within("redirect from", self.shown(&address)))?;
            // Some tell a reader by it which of their servers has his stream.
            cookies = baked(response.headers()).filter(|_| address.trusted);
            // As browsers do: only 307 and 308 keep what was asked.
            let keeps = matches!(response.status().as_u16(), 307 | 308);
            if !keeps && method != Method::HEAD {
                (method, content) = (Method::GET, Bytes::new());
            }
        }
        Err(Error::unexpected(format!("redirected more than {REDIRECTS} times")))
    }

    /// Puts what only a token tells into the addresses of hosts that wait for it.
    async fn locate_hosts(&self) -> Result<()> {
        for (place, host) in self.api.hosts.iter().enumerate() {
            if self.wire.addresses.is_told(place) {
                let own = self.sessions.get(place).and_then(Option::as_ref);
                let session = own.map_or_else(|| self.session(), Ok)?;
                self.wire.addresses.tell(place, &host.url, &session.token(None).await?.extra)?;
            }
        }
        Ok(())
    }

    async fn credential(&self, address: &Address, stale: Option<&Secret>) -> Result<Option<Token>> {
        let host = address.host.filter(|_| address.trusted);
        match host.and_then(|host| self.sessions.get(host)?.as_ref()) {
            Some(session) => session.token(stale).await.map(Some),
            None => Ok(None),
        }
    }

    /// How long to wait before the next attempt. A vendor that asks to slow down is heard by all.
    fn wait(&self, error: &Error, request: &Request, address: &Address, delay: Duration) -> Duration {
        let jitter = rand::random_range(Duration::ZERO..=delay);
        if error.kind() != Kind::RateLimited {
            return error.wait().map_or(jitter, |wait| wait.saturating_add(jitter));
        }
        let asked = match error.until() {
            Some(until) => until.duration_since((self.options.clock)()).try_into().unwrap_or(Duration::ZERO),
            None => error.wait().unwrap_or(delay),
        };
        self.pace.close(address.host, error.limit().or(request.limit), asked);
        asked.saturating_add(jitter)
    }

    fn paused(&self, error: Error, wait: Duration) -> Error {
        let wait = error.wait().unwrap_or(wait);
        let until = (self.options.clock)().saturating_add(jiff_duration(wait));
        error.paused_until(until.unwrap_or(Timestamp::MAX))
    }

    /// The pauses between attempts.
    pub(crate) fn backoff(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.options.backoff)
            .with_max_delay(Duration::from_secs(60))
            .without_max_times()
            .build()
    }

    /// Host and path, to be shown.
    fn shown(&self, address: &Address) -> String {
        self.wire.veil.hide(&place(&address.url))
    }

    fn log(
        &self,
        asked: &(&str, String),
        result: &Result<(Answer, Option<Body>)>,
        began: Instant,
        attempt: u32,
    ) {
        let (method, place) = asked;
        let ms = began.elapsed().as_millis() as u64;
        match result {
            Ok((answer, _)) => {
                let (status, bytes) = (answer.status.as_u16(), answer.body.len());
                tracing::debug!(method, place, status, ms, bytes, attempt, "asked");
            }
            Err(error) => {
                let error = self.wire.veil.hide(error.message());
                tracing::debug!(method, place, ms, attempt, error, "asked in vain");
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("api", &self.api).finish_non_exhaustive()
    }
}

/// A session for each host that needs one; hosts with the same credentials share it, or one would spend the
/// refresh token of the other.
fn sessions(api: &Api, wire: &Arc<Wire>, options: &Options) -> Result<Vec<Option<Arc<Session>>>> {
    let mut sessions: Vec<Option<Arc<Session>>> = Vec::with_capacity(api.hosts.len());
    for host in &api.hosts {
        let Auth::OAuth(oauth) = &host.auth else {
            sessions.push(None);
            continue;
        };
        let known = sessions.iter().flatten().find(|session| session.oauth.is_same(oauth)).cloned();
        let session = match known {
            Some(session) => session,
            None => {
                let first = sessions.iter().flatten().next().is_none();
                let key = match oauth.consent(options.base_url.as_deref()) {
                    Some(consent) => consent,
                    None if first => options.vault_key.clone(),
                    None => format!("{}/{}", options.vault_key, host.name),
                };
                Arc::new(Session::new(oauth.clone(), options.vault.clone(), key, Arc::clone(wire))?)
            }
        };
        sessions.push(Some(session));
    }
    Ok(sessions)
}

fn wants_json(request: &Request) -> bool {
    let accept = request.headers.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case("accept"));
    accept.is_none_or(|(_, kinds)| kinds.contains("json"))
}

/// The cookies that come with a redirect, as the next request carries them.
fn baked(headers: &HeaderMap) -> Option<HeaderValue> {
    let pairs =
        headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let pairs: Vec<&str> = pairs.map(str::trim).filter(|pair| pair.contains('=')).collect();
    HeaderValue::from_str(&pairs.join("; ")).ok().filter(|value| !value.is_empty())
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The method as text that lives long enough for an error.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "request to",
    }
}
