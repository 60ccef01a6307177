//! Facebook Lead Ads: one webhook of the app for every page; a delivery holds ids only, the lead has to be asked for.

use headwater_core::prelude::*;
use http::{Method, StatusCode};

pub const CONNECTOR: Connector = Connector::new(
    "facebook-lead-ads",
    "Facebook Lead Ads",
    "ads",
    "https://developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving",
)
.settings::<LeadAds>()
.events::<LeadAds>(&WEBHOOK);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LeadAds {
    /// The app's secret; deliveries are signed with it.
    app_secret: Secret,
    /// What you typed as verify token.
    verify_token: Secret,
    /// The page whose leads this source takes.
    page_id: String,
    /// The page's access token.
    page_token: Secret,
}

const HUB: Hmac =
    Hmac { grammar: Grammar::Plain("sha256="), ..Hmac::body(Place::Header(&["x-hub-signature-256"])) };

const WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface { path: "", signature: Signature::Hmac(HUB), items: Items::Json("entry.*.changes") }],
    calls: &[CallType::new(
        CallKind::Identify,
        "",
        "adId int, formId int, email, custom_disclaimer_responses json",
    )
    .native("leadgen")],
};

impl EventSource for LeadAds {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        vec![self.app_secret.clone()]
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
        Some(self.page_id.clone())
    }

    fn lookup_api(&self) -> Result<Option<Api>> {
        Ok(Some(Api::new("https://graph.facebook.com", Auth::Query("access_token", self.page_token.clone()))))
    }

    fn lookups(&self, item: &Item<'_>) -> Vec<Request> {
        let lead = item.record.text("value.leadgen_id").ok().flatten();
        lead.map(|lead| Request::get(format!("/v24.0/{lead}"))).into_iter().collect()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        if item.record.text("field")?.as_deref() != Some("leadgen") {
            return Ok(Vec::new());
        }
        let lead = item.record.text("value.leadgen_id")?;
        let mut traits =
            item.record.part("value")?.map(|value| value.fields()).transpose()?.unwrap_or_default();
        traits.rename("ad_id", "adId");
        traits.rename("form_id", "formId");
        for answer in
            item.lookups.iter().map(|found| found.parts("field_data")).collect::<Result<Vec<_>>>()?.concat()
        {
            if let (Some(name), Some(value)) = (answer.text("name")?, answer.at("values.0")?) {
                traits.set(name, value);
            }
        }
        let call =
            Call::identify().id(lead.clone()).at(item.record.time("value.created_time")?).anonymous(lead);
        Ok(vec![call.properties(traits).into()])
    }
}
