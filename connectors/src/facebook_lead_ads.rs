//! Facebook Lead Ads: one webhook of the app for all pages. A delivery holds ids only; the lead is asked for at the Graph API.
//!
//! Give a Meta app the *Webhooks* product, subscribe to `leadgen` of the object *Page* with this source's address and your verify token,
//! install the app on each page (`/{page-id}/subscribed_apps?subscribed_fields=leadgen`), and make a long-lived access token of the page
//! with `leads_retrieval`, `pages_manage_metadata`, `pages_show_list`, `pages_read_engagement` and `ads_management`. A lead that the
//! token does not open (any more) becomes a call with its ids alone; while the Graph API is away, leads wait for it, up to seven days.

use headwater_core::prelude::*;
use http::{Method, StatusCode};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "facebook-lead-ads",
    "Facebook Lead Ads",
    "ads",
    "https://developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving",
)
.settings::<LeadAds>()
.events::<LeadAds>(&WEBHOOK);

/// Settings of a Facebook Lead Ads source. An app has one webhook for all of its pages: set up a source for each page, and
/// give the app the address of any of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeadAds {
    /// The app's secret, which signs the deliveries; two while it is being changed, the newer first.
    #[serde(default)]
    app_secret: Secrets,
    /// What you typed as verify token when you subscribed to the webhook.
    verify_token: Secret,
    /// A long-lived access token of the page, with `leads_retrieval`.
    page_token: Secret,
    /// The page whose leads this source takes; those of other pages go to their sources. Left out: it takes all, and its
    /// token has to open them.
    page_id: Option<String>,
    /// The key of a disclaimer's checkbox: leads that left it empty are passed over.
    checkbox_key_name: Option<String>,
}

const HUB: Hmac =
    Hmac { grammar: Grammar::Plain("sha256="), ..Hmac::body(Place::Header(&["x-hub-signature-256"])) };

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("entry.*.changes", Signature::Hmac(HUB))],
    calls: &[CallType::new(
        CallKind::Identify,
        "",
        "adId int, formId int, email, custom_disclaimer_responses json",
    )
    .native("leadgen")
    .when("somebody has filled in the form of a lead ad")],
};

/// The version of the Graph API that look-ups ask.
const VERSION: &str = "v24.0";
/// What is asked of a lead.
const FIELDS: &str = "id,created_time,ad_id,form_id,field_data,custom_disclaimer_responses";

impl EventSource for LeadAds {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.app_secret.all()
    }

    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        if delivery.method != Method::GET || delivery.query_value("hub.mode").as_deref() != Some("subscribe")
        {
            return None;
        }
        let reply = match (delivery.query_value("hub.verify_token"), delivery.query_value("hub.challenge")) {
            (Some(token), Some(challenge)) if self.verify_token.matches(&token) => Reply::text(challenge),
            _ => Reply { status: StatusCode::FORBIDDEN, ..Reply::OK },
        };
        Some(Handshake { reply, then: None })
    }

    fn account(&self, item: &Item<'_>) -> Option<String> {
        item.record.text("value.page_id").ok()?
    }

    fn own_account(&self) -> Option<String> {
        self.page_id.clone()
    }

    fn lookup_api(&self) -> Result<Option<Api>> {
        let auth = Auth::Query("access_token", self.page_token.clone());
        Ok(Some(Api::new("https://graph.facebook.com", auth).judge(fault)))
    }

    fn lookups(&self, item: &Item<'_>) -> Vec<Request> {
        let lead = lead(item).ok().flatten().filter(|lead| lead.bytes().all(|byte| byte.is_ascii_digit()));
        lead.map(|lead| Request::get(format!("/{VERSION}/{lead}")).query("fields", FIELDS))
            .into_iter()
            .collect()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let Some(id) = lead(item)? else { return Ok(Vec::new()) };
        let mut traits = item.fields()?.take_fields("value");
        let found = item.lookups.first();
        let mut answer = found.map(Record::fields).transpose()?.unwrap_or_default();
        let forms = found.map(|found| found.parts("field_data")).transpose()?.unwrap_or_default();
        if let (Some(key), Some(found)) = (&self.checkbox_key_name, found)
            && !is_checked(found, key)?
        {
            return Ok(Vec::new());
        }
        for name in ["field_data", "id", "created_time"] {
            answer.take(name);
        }
        let created = traits.take("created_time").and_then(|time| parse_time(&time.text()?));
        traits.take("leadgen_id");
        for (name, value) in answer.iter() {
            traits.set(name, value.clone());
        }
        for (theirs, ours) in [("ad_id", "adId"), ("form_id", "formId")] {
            if let Some(id) = traits.take_text(theirs) {
                traits.set(ours, id.parse::<u64>().map_or(Ok(Raw::string(&id)), |number| Raw::new(&number))?);
            }
        }
        for field in forms {
            let (Some(name), values) = (field.text("name")?, field.at("values")?) else { continue };
            let all: Vec<Raw> = match &values {
                Some(values) => values.items()?.collect(),
                None => Vec::new(),
            };
            match all.as_slice() {
                [one] => traits.set(name, one.clone()),
                _ => traits.set(name, Raw::new(&all.iter().map(Raw::text).collect::<Vec<_>>())?),
            }
        }
        let around = Record::parse(&item.delivery.body)?;
        let call = Call::identify()
            .id(Some(id.clone()))
            .at(created)
            .anonymous(Some(id))
            .context("integration.name", Some("facebook-lead-ads"))
            .context("integration.object", around.text("object")?.as_deref())
            .context("integration.entry_id", item.envelope.text("id")?.as_deref())
            .context("integration.entry_time", item.envelope.text("time")?.as_deref());
        Ok(vec![call.properties(traits).into()])
    }
}

/// The id of the lead that an item tells of; none if it tells of something else.
fn lead(item: &Item<'_>) -> Result<Option<String>> {
    match item.record.text("field")?.as_deref() {
        Some("leadgen") => {
            let id = item.record.text("value.leadgen_id")?;
            id.map(Some).ok_or_else(|| Error::unexpected("value.leadgen_id is missing"))
        }
        _ => Ok(None),
    }
}

fn is_checked(lead: &Record, key: &str) -> Result<bool> {
    for answer in lead.parts("custom_disclaimer_responses")? {
        if answer.text("checkbox_key")?.as_deref() == Some(key) {
            return Ok(matches!(answer.text("is_checked")?.as_deref(), Some("1" | "true")));
        }
    }
    Ok(false)
}

/// The Graph API answers 400 whatever is wrong: its own code says what.
fn fault(answer: &Answer) -> Option<Error> {
    if answer.status.is_success() {
        return None;
    }
    let body = Record::parse(&answer.body).ok()?;
    let code: i64 = body.find("error.code").ok()??;
    let subcode: Option<i64> = body.find("error.error_subcode").ok()?;
    let kind = match (code, subcode) {
        (102 | 190, _) => Kind::Auth,
        (1 | 2, _) => Kind::Transient,
        (4 | 17 | 32 | 613 | 80005, _) => Kind::RateLimited,
        (3 | 10 | 200..=299, _) => Kind::Forbidden,
        // It is gone, or was never there for this token.
        (100, Some(33)) => Kind::Forbidden,
        _ => return None,
    };
    let message = body.text("error.message").ok()?.unwrap_or_else(|| "it does not say why".to_owned());
    Some(Error::new(kind, format!("code {code}: {message}")))
}

#[cfg(test)]
mod tests {
    use headwater_core::event::{Mapped, map_delivery};

    use super::*;

    fn source(more: Value) -> LeadAds {
        let mut settings = json!({ "app_secret": "s", "verify_token": "v", "page_token": "t" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(settings).unwrap()
    }

    fn mapped(source: &LeadAds, answer: &'static str) -> Mapped {
        let value = json!({ "leadgen_id": "1", "page_id": "7", "created_time": 1_793_448_000 });
        let body = json!({ "object": "page", "entry": [{ "id": "7", "time": 1, "changes": [
            { "field": "leadgen", "value": value }, { "field": "feed", "value": { "item": "post" } }] }] });
        let mut delivery = Delivery::fetched(Timestamp::UNIX_EPOCH, body.to_string().into());
        delivery.lookups = vec![(0, answer.into())];
        map_delivery("facebook-lead-ads", source, &WEBHOOK.surfaces[0], &delivery)
    }

    #[test]
    fn a_lead_that_did_not_agree_is_passed_over() {
        let checked = r#"{"custom_disclaimer_responses":[{"checkbox_key":"ok","is_checked":"1"}]}"#;
        let unchecked = r#"{"custom_disclaimer_responses":[{"checkbox_key":"ok","is_checked":""}]}"#;
        let wanted = source(json!({ "checkbox_key_name": "ok" }));
        for (source, answer, made) in [
            (&wanted, checked, 1),
            (&wanted, unchecked, 0),
            (&wanted, "{}", 0),
            (&source(json!({})), unchecked, 1),
        ] {
            assert_eq!(mapped(source, answer).outputs.len(), made, "{answer}");
        }
        let other = mapped(&source(json!({ "page_id": "8" })), checked);
        assert_eq!((other.outputs.len(), other.foreign.len()), (0, 1), "it is another page's");
    }

    #[test]
    fn the_challenge_comes_back_only_with_the_right_token() {
        let asked = |query: &str| {
            let mut delivery = Delivery::fetched(Timestamp::UNIX_EPOCH, Default::default());
            (delivery.method, delivery.query) = (Method::GET, query.to_owned());
            source(json!({})).handshake(&delivery).map(|handshake| handshake.reply)
        };
        let good = asked("hub.mode=subscribe&hub.verify_token=v&hub.challenge=1158201444");
        assert_eq!(good, Some(Reply::text("1158201444")));
        let wrong = asked("hub.mode=subscribe&hub.verify_token=x&hub.challenge=1").unwrap();
        assert_eq!((wrong.status, wrong.body.len()), (StatusCode::FORBIDDEN, 0));
        assert_eq!(asked("hub.mode=other"), None);
    }

    #[test]
    fn the_graph_says_by_codes_whose_move_it_is() {
        let judged = |code: i64, subcode: i64| {
            let body =
                json!({ "error": { "message": "m", "code": code, "error_subcode": subcode } }).to_string();
            let status = StatusCode::BAD_REQUEST;
            fault(&Answer { status, headers: Default::default(), body: body.into() })
                .map(|error| error.kind())
        };
        assert_eq!(judged(190, 463), Some(Kind::Auth));
        assert_eq!(judged(4, 0), Some(Kind::RateLimited));
        assert_eq!(judged(100, 33), Some(Kind::Forbidden));
        assert_eq!(judged(100, 1), None);
        assert_eq!(judged(2, 0), Some(Kind::Transient));
    }
}
