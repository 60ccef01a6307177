//! How a source behaves towards its vendor: credentials, patience, refusals, and where it never goes.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use headwater::sync::Ending;
use headwater_core::{
    auth::Auth,
    cursor::Pages,
    event::EventPull,
    http::{Api, Client, Options},
    object::{Account, Collection, ObjectSource},
};

use super::{Verdict, pages::difference, pages::errors, read, strangers, told, verdict, wait};
use crate::{
    engine,
    fixture::Exchange,
    reading::{self, show},
    replay::{Fault, Met, Plan, Replay, Seen},
    subject::Subject,
};

/// What goes wrong for a while at every vendor: asked to slow down, two kinds of failure, no answer, half an answer.
pub(super) fn troubles() -> Vec<(&'static str, Fault)> {
    vec![
        ("429 with Retry-After", Fault::Status(429, vec![("retry-after", "0".into())])),
        ("500", Fault::Status(500, Vec::new())),
        ("503", Fault::Status(503, vec![("retry-after", "0".into())])),
        ("no answer in time", Fault::Hang),
        ("a cut body", Fault::Cut),
    ]
}

/// Each exchange of these files meets the fault once, before its answer.
pub(super) fn once(exchanges: &[Exchange], in_file: impl Fn(&str) -> bool, fault: Fault) -> Plan {
    let affected: Vec<bool> = exchanges
        .iter()
        // Nothing can be cut out of an empty body.
        .map(|known| in_file(&known.file) && !(matches!(fault, Fault::Cut) && known.answer.len() < 2))
        .collect();
    Box::new(move |met| (affected[met.place] && met.failed == 0).then(|| fault.clone()))
}

/// Every recorded answer comes only after a 429 with Retry-After, a 500, a 503, a time-out or a cut body: what is read
/// stays the same.
pub fn patience(subject: &Subject, root: &str) -> Verdict {
    wait(async {
        let (_, _, whole) = read(subject, root).await?;
        let expected: Vec<String> = whole.rows.iter().map(show).collect();
        let mut wrong = Vec::new();
        for (name, fault) in troubles() {
            let exchanges = reading::exchanges(subject, root);
            let plan = once(&exchanges, |file| file == root, fault);
            let replay = Replay::failing(exchanges, plan).await?;
            let options = impatient(&replay);
            let again = async {
                let opened = reading::open(subject, options).await.map_err(told)?;
                let collection = opened.root(subject, root)?;
                opened.whole(subject, &replay, &collection).await.map_err(told)
            };
            match again.await {
                Err(why) => wrong.push(format!("{name}: {why}{}", strangers(&replay))),
                Ok(again) => {
                    let found: Vec<String> = again.rows.iter().map(show).collect();
                    if found != expected {
                        wrong.push(format!("{name}: {}", difference(&expected, &found)));
                    }
                }
            }
        }
        verdict(wrong)
    })
}

/// Options that notice soon when no answer comes.
pub(super) fn impatient(replay: &Replay) -> Options {
    Options { attempt_timeout: Duration::from_millis(400), ..reading::options(replay) }
}

/// `check` tells the account of `config.json`, and the catalog is read, also if each answer comes only after a failure;
/// every answer of `_auth`, `_check` and `_catalog` is used; each of these requests proves whose it is; a 401 comes out as
/// an error of the credentials.
pub fn check(subject: &Subject) -> Verdict {
    if subject.connector.objects.is_none() && subject.connector.pull.is_none() {
        return Ok(());
    }
    wait(async {
        let mut wrong = Vec::new();
        let none = ("nothing", None);
        let all = troubles().into_iter().map(|(name, fault)| (name, Some(fault)));
        for (name, fault) in std::iter::once(none).chain(all) {
            let exchanges = subject.fixtures.common();
            let is_calm = fault.is_none();
            let plan: Plan = match fault {
                Some(fault) => once(&exchanges, |_| true, fault),
                None => Box::new(|_| None),
            };
            let replay = Replay::failing(exchanges, plan).await?;
            if let Err(why) = checked(subject, impatient(&replay)).await {
                wrong.push(format!("{name}: {why}{}", strangers(&replay)));
            }
            if is_calm {
                for unused in replay.idle() {
                    wrong.push(format!(
                        "never asked for: {} {} ({})",
                        unused.method, unused.path, unused.file
                    ));
                }
                wrong.extend(replay.strangers().iter().map(|stranger| format!("not recorded: {stranger}")));
                wrong.extend(unproven(subject, &replay)?);
            }
        }
        let plan: Plan = Box::new(|_| Some(Fault::Status(401, Vec::new())));
        let replay = Replay::failing(subject.fixtures.common(), plan).await?;
        match checked(subject, impatient(&replay)).await {
            Err(why) if why.contains("(auth)") => {}
            Err(why) => wrong.push(format!("401 comes out as {why}")),
            Ok(()) => wrong.push("401 comes out as success".into()),
        }
        verdict(wrong)
    })
}

async fn checked(subject: &Subject, options: Options) -> Verdict {
    let config = &subject.fixtures.config;
    let source = Asking::open(subject)?;
    // Nothing is known of the account before the first check.
    let client = |account: &Account| -> Result<Client, String> {
        let mut api = source.api(account)?;
        api.hosts.iter_mut().flat_map(|host| &mut host.limits).for_each(reading::unbound);
        Client::new(api, options.clone()).map_err(told)
    };
    let first = client(&Account::default())?;
    let account = match &source {
        Asking::Objects(_, source) => source.check(&first).await,
        Asking::Pull(source) => source.check(&first).await,
    };
    let account = account.map_err(told)?;
    if account != config.account {
        return Err(format!("it tells the account {account:?}, config.json {:?}", config.account));
    }
    let Asking::Objects(collections, source) = &source else { return Ok(()) };
    source.catalog(&client(&account)?, collections).await.map_err(told).map(drop)
}

/// What asks a vendor.
enum Asking {
    Objects(&'static [Collection], Box<dyn ObjectSource>),
    Pull(Box<dyn EventPull>),
}

impl Asking {
    fn open(subject: &Subject) -> Result<Self, String> {
        let settings = subject.fixtures.config.settings.clone();
        match (subject.connector.objects, subject.connector.pull) {
            (Some(objects), _) => {
                Ok(Self::Objects(objects.collections, (objects.open)(settings).map_err(told)?))
            }
            (None, Some(pull)) => Ok(Self::Pull(pull(settings).map_err(told)?)),
            (None, None) => Err("it asks nobody".into()),
        }
    }

    fn api(&self, account: &Account) -> Result<Api, String> {
        match self {
            Self::Objects(_, source) => source.api(account),
            Self::Pull(source) => source.api(account),
        }
        .map_err(told)
    }
}

/// Every request to the vendor carries the credential of the host that it goes to, and there is one.
pub fn signed(subject: &Subject, root: &str) -> Verdict {
    wait(async {
        let (replay, _, _) = read(subject, root).await?;
        verdict(unproven(subject, &replay)?)
    })
}

/// The requests without their host's credential.
pub(super) fn unproven(subject: &Subject, replay: &Replay) -> Result<Vec<String>, String> {
    let apis = apis(subject)?;
    let hosts = || apis.iter().flat_map(|api| &api.hosts);
    let mut wrong = Vec::new();
    if hosts().all(|host| matches!(host.auth, Auth::None)) {
        wrong.push("no host wants a credential".into());
    }
    for seen in replay.log() {
        let file = seen.exchange.map_or("", |place| replay.exchanges()[place].file.as_str());
        let of: Vec<&Auth> =
            hosts().filter(|host| authority(&host.url) == seen.host).map(|host| &host.auth).collect();
        let proven = match file {
            "_auth" => of_app(&of, hosts().map(|host| &host.auth), &seen),
            _ if of.is_empty() => true,
            _ => of.iter().any(|auth| carries(auth, &seen, replay)),
        };
        if !proven {
            wrong.push(format!("{} {} carries no credential", seen.method, seen.path));
        }
    }
    Ok(wrong)
}

/// Whether a request for a token names the app.
fn of_app<'a>(own: &[&'a Auth], others: impl Iterator<Item = &'a Auth>, seen: &Seen) -> bool {
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    let mut all = own.iter().copied().chain(others);
    all.any(|auth| match auth {
        Auth::OAuth(oauth) => {
            body.contains("assertion=")
                || crate::fixture::pairs_of(&body)
                    .iter()
                    .any(|(name, value)| name == "client_id" && *value == oauth.client_id)
                || seen.headers.contains_key("authorization")
        }
        _ => false,
    })
}

fn carries(auth: &Auth, seen: &Seen, replay: &Replay) -> bool {
    let header =
        |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match auth {
        Auth::None => true,
        Auth::Bearer(token) => header("authorization") == format!("Bearer {}", token.expose()),
        Auth::Basic(user, password) => {
            let both = STANDARD.encode(format!("{user}:{}", password.expose()));
            header("authorization") == format!("Basic {both}")
        }
        Auth::Header(name, key) => header(name) == key.expose(),
        Auth::Query(name, key) => {
            seen.query.iter().any(|(known, value)| known == name && value == key.expose())
        }
        Auth::Aws(keys) => {
            header("authorization").starts_with(&format!("AWS4-HMAC-SHA256 Credential={}/", keys.key_id))
        }
        Auth::OAuth(_) => replay.exchanges().iter().filter(|known| known.file == "_auth").any(|known| {
            let token: serde_json::Value = serde_json::from_slice(&known.answer).unwrap_or_default();
            let token = token.get("access_token").and_then(serde_json::Value::as_str).unwrap_or_default();
            !token.is_empty() && header("authorization") == format!("Bearer {token}")
        }),
    }
}

/// A 401 stops the source: the run fails, with an error of the credentials. A 403 costs its collection alone, which is
/// then never green; so does one that only children meet.
pub fn refusals(subject: &Subject, root: &str) -> Verdict {
    wait(async {
        let (replay, opened, whole) = read(subject, root).await?;
        let log = replay.log();
        let mut wrong = Vec::new();
        let opening = opening(subject, root).await?;
        let mut readers: Vec<&str> = whole.walks.iter().map(|walk| walk.collection.name).collect();
        readers.sort_unstable();
        readers.dedup();
        for reader in readers {
            let walks = whole.walks.iter().filter(|walk| walk.collection.name == reader);
            let asked: BTreeSet<usize> = walks
                .flat_map(|walk| &walk.steps)
                .flat_map(|step| step.requests.clone())
                .filter_map(|at| log.get(at)?.exchange)
                .collect();
            for status in [401, 403] {
                let (asked, opening) = (asked.clone(), opening.clone());
                let refuse = move |met: Met| {
                    let refused = asked.contains(&met.place) && met.answered >= opening[met.place];
                    refused.then(|| Fault::Status(status, Vec::new()))
                };
                let replay = Replay::failing(reading::exchanges(subject, root), Box::new(refuse)).await?;
                let report = engine::run(subject, &opened, &replay, root).await?.report;
                let outcomes = || report.collections.values();
                let kinds: Vec<_> = outcomes().filter_map(|outcome| outcome.kind).collect();
                let ending = report.ending.name();
                let told = format!("{ending}: {}", errors(&report));
                if status == 401
                    && (report.ending != Ending::Failure
                        || report.error.is_none()
                        || !kinds.contains(&"auth"))
                {
                    wrong.push(format!("a 401 to {reader} does not stop the source: {told}"));
                }
                if status == 403 {
                    if report.error.is_some() {
                        wrong.push(format!("a 403 to {reader} stops the source: {told}"));
                    }
                    if report.ending == Ending::Success || !kinds.contains(&"forbidden") {
                        wrong.push(format!("a 403 to {reader} ends as {told}"));
                    }
                }
            }
        }
        verdict(wrong)
    })
}

/// How often each exchange answers before the read begins.
async fn opening(subject: &Subject, root: &str) -> Result<Vec<u32>, String> {
    let replay = Replay::start(reading::exchanges(subject, root)).await?;
    checked(subject, reading::options(&replay)).await?;
    Ok(replay
        .answered()
        .iter()
        .zip(replay.exchanges())
        .map(|(count, known)| if known.file == root { 0 } else { *count })
        .collect())
}

/// Nothing leaves the declared hosts: a redirect to another host is an error, and so is a link to the next page there.
pub fn leaves(subject: &Subject, root: &str) -> Verdict {
    const ELSEWHERE: &str = "elsewhere.example.net";
    wait(async {
        let (replay, opened, whole) = read(subject, root).await?;
        let declared = declared(subject)?;
        let mut wrong = foreign(&replay, &declared);
        let collection = opened.root(subject, root)?;

        let away = Fault::Status(302, vec![("location", format!("https://{ELSEWHERE}/next"))]);
        let exchanges = reading::exchanges(subject, root);
        let plan = once(&exchanges, |file| file == root, away);
        let replay = Replay::failing(exchanges, plan).await?;
        let opened = reading::open(subject, reading::options(&replay)).await.map_err(told)?;
        if opened.whole(subject, &replay, &collection).await.is_ok() {
            wrong.push("a redirect to another host is no error".into());
        }
        wrong.extend(foreign(&replay, &declared));

        let mut exchanges = reading::exchanges(subject, root);
        let own: Vec<String> = hosts(subject)?.iter().map(|host| format!("https://{host}")).collect();
        for known in exchanges.iter_mut().filter(|known| known.file == root) {
            let away = |text: &str| {
                own.iter().fold(text.to_owned(), |text, host| {
                    text.replace(host.as_str(), &format!("https://{ELSEWHERE}"))
                })
            };
            known.answer = away(&String::from_utf8_lossy(&known.answer)).into();
            known.headers.iter_mut().for_each(|(_, value)| *value = away(value));
        }
        let replay = Replay::start(exchanges).await?;
        let opened = reading::open(subject, reading::options(&replay)).await.map_err(told)?;
        let linked = opened.whole(subject, &replay, &collection).await;
        let pages = whole.walks.first().map_or(0, |walk| walk.steps.len());
        if matches!(collection.pages, Pages::Url { .. }) && pages > 1 && linked.is_ok() {
            wrong.push("a next page at another host is no error (or is never followed)".into());
        }
        wrong.extend(foreign(&replay, &declared));
        verdict(wrong)
    })
}

/// Requests to hosts that are not declared.
pub(super) fn foreign(replay: &Replay, declared: &dyn Fn(&str) -> bool) -> Vec<String> {
    let log = replay.log();
    let foreign = log.iter().filter(|seen| !declared(&seen.host));
    foreign.map(|seen| format!("{} {} went to {:?}", seen.method, seen.path, seen.host)).collect()
}

/// The hosts of the source's API, those of its tokens included.
fn hosts(subject: &Subject) -> Result<BTreeSet<String>, String> {
    Ok(apis(subject)?.iter().flat_map(|api| &api.hosts).flat_map(of_host).collect())
}

fn of_host(host: &headwater_core::http::Host) -> Vec<String> {
    let token = match &host.auth {
        Auth::OAuth(oauth) => Some(authority(&oauth.token_url)),
        _ => None,
    };
    std::iter::once(authority(&host.url)).chain(token).collect()
}

pub(super) fn apis(subject: &Subject) -> Result<Vec<Api>, String> {
    let config = &subject.fixtures.config;
    if let (None, None, Some(events)) =
        (subject.connector.objects, subject.connector.pull, subject.connector.events)
    {
        let source = (events.open)(config.settings.clone()).map_err(told)?;
        return Ok(source.lookup_api().map_err(told)?.into_iter().collect());
    }
    let source = Asking::open(subject)?;
    [Account::default(), config.account.clone()].iter().map(|account| source.api(account)).collect()
}

/// Whether a host is one of the source's, or one that result files come from.
pub(super) fn declared(subject: &Subject) -> Result<impl Fn(&str) -> bool + use<>, String> {
    let hosts = hosts(subject)?;
    let results: Vec<&'static str> = apis(subject)?.iter().flat_map(|api| api.results).copied().collect();
    Ok(move |host: &str| {
        hosts.contains(host)
            || results.iter().any(|known| host == *known || (known.starts_with('.') && host.ends_with(known)))
    })
}

/// The host of an address, with its port where that is not the usual one.
fn authority(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase()
}
